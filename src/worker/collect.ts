import { setTimeout as pause } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Client } from '@temporalio/client';
import pRetry from 'p-retry';
import type { Queryable } from '../connect/queryable.js';
import { listPhases, type ListedTable } from '../control/list-phases.js';
import { LagClock } from '../pipeline/lag-clock.js';
import { formatTableName } from '../domain/table-name.js';
import { readBacklog, type StageBacklog, type TableBacklog } from '../ledger/backlog.js';
import { GaugeSet, type Reading } from '../observe/gauge-set.js';
import type { Log } from '../observe/log.js';
import type { Meters } from '../observe/meters.js';
import { countParts } from '../clickhouse/parts.js';

export interface CollectorDeps {
  readonly pg: Queryable;
  readonly clickhouse: ClickHouseClient;
  readonly temporal: Client;
  readonly meters: Meters;
  readonly log: Log;
}

const EVERY_MS = 15_000;

/**
 * Looks at all tables again and again until the signal is aborted. It tells of tables whose slices do not run, which no slice
 * could; and each server's gauges turn NaN while that server is away, whatever the others do.
 */
export async function collectUntil(deps: CollectorDeps, signal: AbortSignal, everyMs = EVERY_MS): Promise<void> {
  const collector = new Collector(deps);
  while (!signal.aborted) {
    await collector.look();
    await pause(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

export class Collector {
  readonly #deps: CollectorDeps;
  readonly #ledger: GaugeSet;
  readonly #sink: GaugeSet;
  readonly #control: GaugeSet;
  readonly #clocks = new Map<string, LagClock>();
  #oldest: { readonly xid: string; readonly since: number } | undefined;
  /** As the ledger had them last: a ClickHouse that answers is asked about them also while PostgreSQL does not. */
  #tables: readonly TableBacklog[] = [];

  constructor(deps: CollectorDeps) {
    this.#deps = deps;
    this.#ledger = new GaugeSet(deps.meters);
    this.#sink = new GaugeSet(deps.meters);
    this.#control = new GaugeSet(deps.meters);
  }

  /** One look at all of them. Never rejects. */
  async look(): Promise<void> {
    await this.#show(this.#ledger, 'the ledger', () => this.#lookAtLedger());
    await Promise.all([
      this.#show(this.#sink, 'clickhouse', () => this.#lookAtSink()),
      this.#show(this.#control, 'temporal', () => this.#lookAtControl()),
    ]);
  }

  /** Once more at once: a table that was removed in between fails the look, and a hole would reset an alert that is due. */
  async #show(board: GaugeSet, what: string, look: () => Promise<readonly Reading[]>): Promise<void> {
    try {
      board.replace(await pRetry(look, { retries: 1, minTimeout: 100 }));
    } catch (error) {
      board.replace([]);
      this.#deps.log.debug({ error, what }, 'no metrics for now');
    }
  }

  async #lookAtLedger(): Promise<readonly Reading[]> {
    const { tables, oldestXid } = await readBacklog(this.#deps.pg);
    const now = Date.now();
    this.#tables = tables;
    const known = new Set(tables.flatMap((table) => [clockKey(table, 'publish'), clockKey(table, 'load')]));
    for (const key of this.#clocks.keys()) if (!known.has(key)) this.#clocks.delete(key);
    return [
      ...tables.flatMap((table) => [
        ...this.#stageReadings(table, 'publish', now),
        ...this.#stageReadings(table, 'load', now),
        { name: 'pg2click_outbox_bytes', value: table.outbox.bytes, labels: labelsOf(table) } as const,
        { name: 'pg2click_outbox_dead_tuples', value: table.outbox.deadTuples, labels: labelsOf(table) } as const,
      ]),
      { name: 'pg2click_oldest_transaction_seconds', value: this.#ageOf(oldestXid, now), labels: {} },
      { name: 'pg2click_collected_timestamp_seconds', value: now / 1_000, labels: {} },
    ];
  }

  #stageReadings(table: TableBacklog, stage: 'publish' | 'load', now: number): Reading[] {
    const backlog = table[stage];
    const labels = { ...labelsOf(table), stage };
    const bytes = backlog.waiting === 0 ? 0 : backlog.waiting * (backlog.bytesPerRow ?? Number.NaN);
    return [
      { name: 'pg2click_lag_rows', value: backlog.waiting, labels },
      { name: 'pg2click_lag_bytes', value: bytes, labels },
      { name: 'pg2click_lag_seconds', value: this.#lagOf(clockKey(table, stage), backlog, now), labels },
      { name: 'pg2click_last_batch_timestamp_seconds', value: backlog.lastBatchAt, labels },
    ];
  }

  /** What a named batch proves survives a restart of this process; what the clock has seen does not. */
  #lagOf(key: string, { waiting, newest, done, namedFor }: StageBacklog, now: number): number {
    const clock = this.#clocks.get(key) ?? new LagClock();
    this.#clocks.set(key, clock);
    clock.observe(newest, now);
    const seen = clock.seconds(done, now);
    return waiting === 0 ? 0 : Math.max(seen, namedFor ?? 0);
  }

  /** No role may see when a stranger's transaction began; that it is still the same one, every role does. */
  #ageOf(xid: string | null, now: number): number {
    if (xid === null) this.#oldest = undefined;
    else if (this.#oldest?.xid !== xid) this.#oldest = { xid, since: now };
    return this.#oldest === undefined ? 0 : (now - this.#oldest.since) / 1_000;
  }

  async #lookAtSink(): Promise<readonly Reading[]> {
    if (this.#tables.length === 0) return [];
    const counts = await countParts(
      this.#deps.clickhouse,
      this.#tables.map(({ target }) => target),
    );
    return this.#tables.map((table) => {
      const { database, table: name } = table.target;
      const parts = counts.find((each) => each.database === database && each.table === name)?.parts ?? 0;
      return { name: 'pg2click_active_parts', value: parts, labels: labelsOf(table) };
    });
  }

  async #lookAtControl(): Promise<readonly Reading[]> {
    const listed = await listPhases(this.#deps.temporal);
    const runs = new Set(listed.map(({ pipeline, table }) => `${pipeline}/${table}`));
    const stopped = this.#tables.map(labelsOf).filter(({ pipeline, table }) => !runs.has(`${pipeline}/${table}`));
    return [...listed.flatMap(phaseReadings), ...stopped.map((labels) => phaseReading(labels, 'stopped'))];
  }
}

function phaseReadings({ pipeline, table, phase, kind }: ListedTable): Reading[] {
  const parked = phase === 'parked';
  return [
    phaseReading({ pipeline, table }, phase),
    {
      name: 'pg2click_parked',
      value: parked ? 1 : 0,
      labels: { pipeline, table, kind: parked ? (kind ?? 'Unexpected') : 'none' },
    },
  ];
}

function phaseReading(labels: { pipeline: string; table: string }, phase: ListedTable['phase'] | 'stopped'): Reading {
  return { name: 'pg2click_table_phase', value: 1, labels: { ...labels, phase } };
}

function labelsOf({ pipeline, name }: TableBacklog): { pipeline: string; table: string } {
  return { pipeline, table: formatTableName(name) };
}

function clockKey(table: TableBacklog, stage: string): string {
  return `${table.id}/${stage}`;
}
