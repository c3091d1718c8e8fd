import { setTimeout as pause } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Client } from '@temporalio/client';
import pRetry from 'p-retry';
import type { Databases } from '../connect/databases.js';
import { readBacklog, type StageBacklog, type TableBacklog } from '../control/backlog.js';
import { listTables, type ListedTable } from '../control/list-tables.js';
import { kafkaOf, stagesOf, type StageId } from '../domain/route.js';
import { LagClock } from '../pipeline/lag-clock.js';
import { formatTableName } from '../domain/table-name.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { GaugeSet, type Reading } from '../observe/gauge-set.js';
import type { Log } from '../observe/log.js';
import type { Meters } from '../observe/meters.js';
import type { TopicPlace } from '../topic/retention.js';
import type { Phase } from '../../workflows/table-state.js';
import { countParts } from '../clickhouse/parts.js';
import { readOldestTransaction } from '../source/oldest-transaction.js';

export interface CollectorDeps extends Databases {
  readonly clickhouse: ClickHouseClient;
  readonly temporal: Client;
  /** Of the workflows of this deployment: others may share the namespace. */
  readonly taskQueue: string;
  /** Who tells which readers of topics are far behind; absent: nobody is asked. */
  readonly findLate?: (readers: readonly TopicPlace[]) => Promise<readonly boolean[]>;
  readonly meters: Meters;
  readonly log: Log;
}

const EVERY_MS = 15_000;
/** Retention is counted in days: Kafka is asked about every topic only every five minutes. */
const TOPICS_EVERY = 20;

/**
 * Reads the figures of all tables every 15 s until the signal is aborted: also of tables whose slices do not run, which no slice
 * could report. Each server's gauges turn NaN while that server does not answer, whatever the others do.
 */
export async function collectUntil(deps: CollectorDeps, signal: AbortSignal, everyMs = EVERY_MS): Promise<void> {
  const collector = new Collector(deps);
  while (!signal.aborted) {
    await collector.collect();
    await pause(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

export class Collector {
  readonly #deps: CollectorDeps;
  readonly #ledger: GaugeSet;
  readonly #sink: GaugeSet;
  readonly #control: GaugeSet;
  readonly #topics: GaugeSet;
  #rounds = 0;
  readonly #clocks = new Map<string, LagClock>();
  #oldest: { readonly xid: string; readonly since: number } | undefined;
  /** As the ledger had them last: ClickHouse is asked about them also while PostgreSQL does not answer. */
  #tables: readonly TableBacklog[] = [];

  constructor(deps: CollectorDeps) {
    this.#deps = deps;
    this.#ledger = new GaugeSet(deps.meters);
    this.#sink = new GaugeSet(deps.meters);
    this.#control = new GaugeSet(deps.meters);
    this.#topics = new GaugeSet(deps.meters);
  }

  /** Reads and shows all of them once. Never rejects. */
  async collect(): Promise<void> {
    await this.#show(this.#ledger, 'the ledger', () => this.#readLedger());
    const { findLate } = this.#deps;
    const asksKafka = findLate !== undefined && this.#rounds % TOPICS_EVERY === 0;
    this.#rounds += 1;
    await Promise.all([
      ...(asksKafka ? [this.#show(this.#topics, 'kafka', () => this.#readTopics(findLate))] : []),
      this.#show(this.#sink, 'clickhouse', () => this.#readSink()),
      this.#show(this.#control, 'temporal', () => this.#readControl()),
    ]);
  }

  /** Tries once more at once: a table that was removed in between fails the first, and a hole would reset an alert that is due. */
  async #show(gauges: GaugeSet, what: string, read: () => Promise<readonly Reading[]>): Promise<void> {
    try {
      gauges.replace(await pRetry(read, { retries: 1, minTimeout: 100 }));
    } catch (error) {
      gauges.replace([]);
      this.#deps.log.debug({ error, what }, 'no metrics for now');
    }
  }

  async #readLedger(): Promise<readonly Reading[]> {
    const tables = await readBacklog(this.#deps);
    const oldestXid = await readOldestTransaction(this.#deps.source);
    const now = Date.now();
    this.#tables = tables;
    const known = new Set(tables.flatMap(({ table, stages }) => Object.keys(stages).map((id) => clockKey(table, id))));
    for (const key of this.#clocks.keys()) if (!known.has(key)) this.#clocks.delete(key);
    return [
      ...tables.flatMap((each) => [
        ...this.#stageReadings(each, now),
        ...outboxReadings(each),
        { name: 'pg2click_quarantined_rows' as const, value: each.quarantined, labels: labelsOf(each.table) },
        ...gapReadings(each),
        ...slotReadings(each),
        ...replayReadings(each),
        ...copyReadings(each),
      ]),
      { name: 'pg2click_oldest_transaction_seconds', value: this.#ageOf(oldestXid, now), labels: {} },
      { name: 'pg2click_collected_timestamp_seconds', value: now / 1_000, labels: {} },
    ];
  }

  /** Of the stages that never end: what waits for a first load is no change. */
  #stageReadings({ table, stages }: TableBacklog, now: number): Reading[] {
    return stagesOf(table.route).flatMap(({ id, runs }) => {
      const backlog = stages[id];
      return backlog === undefined || runs === 'once' ? [] : this.#readingsOf(table, id, backlog, now);
    });
  }

  #readingsOf(table: ReplicatedTable, stage: StageId, backlog: StageBacklog, now: number): Reading[] {
    const labels = { ...labelsOf(table), stage };
    const waiting = backlog.waiting ?? Number.NaN;
    const bytes = waiting === 0 ? 0 : waiting * (backlog.bytesPerRow ?? Number.NaN);
    return [
      { name: 'pg2click_lag_rows', value: waiting, labels },
      { name: 'pg2click_lag_bytes', value: bytes, labels },
      { name: 'pg2click_lag_seconds', value: this.#lagOf(clockKey(table, stage), backlog, now), labels },
      ...(backlog.errors === null ? [] : [{ name: 'pg2click_error_messages' as const, value: backlog.errors, labels }]),
      { name: 'pg2click_last_batch_timestamp_seconds', value: backlog.lastBatchAt, labels },
    ];
  }

  /** What a named batch proves survives a restart of this process; what the clock has seen does not. */
  #lagOf(key: string, { waiting, newest, done, namedFor }: StageBacklog, now: number): number {
    const clock = this.#clocks.get(key) ?? new LagClock();
    this.#clocks.set(key, clock);
    clock.observe(newest, now);
    const seen = clock.seconds(done, now);
    if (waiting === null) return Number.NaN;
    return waiting === 0 ? 0 : Math.max(seen, namedFor ?? 0);
  }

  /** No role may see when another role's transaction began; that it is still the same one, every role may. */
  #ageOf(xid: string | null, now: number): number {
    if (xid === null) this.#oldest = undefined;
    else if (this.#oldest?.xid !== xid) this.#oldest = { xid, since: now };
    return this.#oldest === undefined ? 0 : (now - this.#oldest.since) / 1_000;
  }

  async #readTopics(findLate: NonNullable<CollectorDeps['findLate']>): Promise<readonly Reading[]> {
    const readers = this.#tables.flatMap(({ table, stages }) => {
      const topic = kafkaOf(table.route)?.topic;
      if (topic === undefined) return [];
      return stagesOf(table.route).flatMap(({ id }) => {
        const offsets = stages[id]?.offsets;
        return offsets === undefined ? [] : [{ topic, offsets, labels: { ...labelsOf(table), stage: id } }];
      });
    });
    // There may be no Kafka at all.
    if (readers.length === 0) return [];
    const late = await findLate(readers);
    return readers.map(({ labels }, index) => ({
      name: 'pg2click_retention_late',
      value: late[index] === true ? 1 : 0,
      labels,
    }));
  }

  async #readSink(): Promise<readonly Reading[]> {
    if (this.#tables.length === 0) return [];
    // The other servers of the settings are not asked.
    const targets = this.#tables.flatMap(({ table }) => {
      const loader = table.route.loaders.find(({ connection }) => connection === undefined);
      return loader === undefined ? [] : [{ table, target: loader.target }];
    });
    const counts = await countParts(
      this.#deps.clickhouse,
      targets.map(({ target }) => target),
    );
    return targets.map(({ table, target: { database, table: name } }) => {
      const parts = counts.find((each) => each.database === database && each.table === name)?.parts ?? 0;
      return { name: 'pg2click_active_parts', value: parts, labels: labelsOf(table) };
    });
  }

  async #readControl(): Promise<readonly Reading[]> {
    const listed = await listTables(this.#deps.temporal);
    const known = this.#tables.map(({ table }) => labelsOf(table));
    const [runs, knows] = [listed, known].map((tables) => new Set(tables.map(placeOf)));
    const stopped = known.filter((labels) => runs?.has(placeOf(labels)) !== true);
    // The ledger has those of other pipelines too, and not yet those that are being prepared.
    const own = listed.filter((each) => each.taskQueue === this.#deps.taskQueue || knows?.has(placeOf(each)) === true);
    return [...own.flatMap(phaseReadings), ...stopped.map((labels) => phaseReading(labels, 'stopped'))];
  }
}

function placeOf({ pipeline, table }: Pick<ListedTable, 'pipeline' | 'table'>): string {
  return `${pipeline}/${table}`;
}

function replayReadings({ table, replays = [] }: TableBacklog): Reading[] {
  const busy = replays.filter(({ waiting }) => waiting > 0);
  return busy.map(({ stage, waiting }) => ({
    name: 'pg2click_replay_waiting',
    value: waiting,
    labels: { ...labelsOf(table), stage },
  }));
}

function copyReadings({ table, stages, backfills = {} }: TableBacklog): Reading[] {
  const copies = Object.entries(stages).flatMap(([stage, { copy }]) => (copy === null ? [] : [[stage, copy] as const]));
  return [...copies, ...Object.entries(backfills)].flatMap(([stage, copy]): Reading[] => {
    const labels = { ...labelsOf(table), stage };
    return [
      { name: 'pg2click_copy_bytes', value: copy.bytes, labels },
      { name: 'pg2click_copy_done_bytes', value: copy.bytesDone, labels },
    ];
  });
}

function outboxReadings({ table, outbox }: TableBacklog): Reading[] {
  if (outbox === null) return [];
  const labels = labelsOf(table);
  return [
    { name: 'pg2click_outbox_bytes', value: outbox.bytes, labels },
    { name: 'pg2click_outbox_dead_tuples', value: outbox.deadTuples, labels },
  ];
}

function gapReadings({ table, gaps }: TableBacklog): Reading[] {
  if (gaps === undefined) return [];
  const labels = labelsOf(table);
  return [
    { name: 'pg2click_gap_ranges', value: gaps.ranges, labels },
    { name: 'pg2click_given_up_ids', value: gaps.givenUp, labels },
  ];
}

/** Those of all tables of a pipeline are the same slot's. */
function slotReadings({ table, slot }: TableBacklog): Reading[] {
  if (slot === undefined) return [];
  const labels = labelsOf(table);
  const { retainedBytes, safeBytes, outboxBytes, budgetBytes, detached } = slot;
  const isDetached = { name: 'pg2click_detached' as const, value: detached === null ? 0 : 1, labels };
  if (retainedBytes === null) return [isDetached];
  const share = budgetBytes === null ? null : (retainedBytes + outboxBytes) / budgetBytes;
  return [
    isDetached,
    ...(share === null ? [] : [{ name: 'pg2click_wal_budget_ratio' as const, value: share, labels }]),
    { name: 'pg2click_slot_retained_bytes', value: retainedBytes, labels },
    ...(safeBytes === null ? [] : [{ name: 'pg2click_slot_safe_bytes' as const, value: safeBytes, labels }]),
  ];
}

function phaseReadings({ pipeline, table, phase, failureKind }: ListedTable): Reading[] {
  // Somebody started it by hand, and no worker has run it yet.
  if (phase === undefined || pipeline === undefined || table === undefined) return [];
  const parked = phase === 'parked';
  return [
    phaseReading({ pipeline, table }, phase),
    {
      name: 'pg2click_parked',
      value: parked ? 1 : 0,
      labels: { pipeline, table, kind: parked ? (failureKind ?? 'Unexpected') : 'none' },
    },
  ];
}

function phaseReading(labels: { pipeline: string; table: string }, phase: Phase | 'stopped'): Reading {
  return { name: 'pg2click_table_phase', value: 1, labels: { ...labels, phase } };
}

function labelsOf({ pipeline, name }: ReplicatedTable): { pipeline: string; table: string } {
  return { pipeline, table: formatTableName(name) };
}

function clockKey(table: ReplicatedTable, stage: StageId): string {
  return `${table.id}/${stage}`;
}
