import { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { connectClickHouse } from '../connect/clickhouse.js';
import { connectKafka } from '../connect/kafka.js';
import { createPostgresPool, ledgerSettings, STATEMENT_MS, walSettings } from '../connect/postgres.js';
import type { Log } from '../observe/log.js';
import type { Meters } from '../observe/meters.js';
import type { Settings } from '../settings/settings.js';
import { withAdmin } from '../topic/admin.js';
import { findLate, type TopicPlace } from '../topic/retention.js';
import { collectUntil } from './collect.js';
import { openHealthServer } from './health-server.js';
import { openProbes, ServerWatch } from './server-watch.js';
import type { RunningWorker, WorkerRole } from './start.js';
import { reportProcessUntil } from './process-metrics.js';

export interface ObserveOptions {
  readonly settings: Settings;
  readonly role: WorkerRole;
  readonly version: string;
  readonly meters: Meters;
  readonly log: Log;
}

/** What watches a worker from beside: its servers, its health, and the metrics that no slice can report. */
export interface Observation {
  /**
   * From now on: the worker polls, and its connection is probed too.
   * @param taskQueue of the workflows of its deployment
   */
  follow(worker: RunningWorker, connection: NativeConnection, taskQueue: string): void;
  close(): Promise<void>;
}

/**
 * Begins with the health endpoint, before anything is connected. Without PG2CLICK_HEALTH and PG2CLICK_METRICS it only watches the
 * servers, for the log.
 * @throws Failure `Misconfigured` where it cannot listen
 */
export async function observeWorker({ settings, role, version, meters, log }: ObserveOptions): Promise<Observation> {
  const { healthAddress, metricsAddress } = settings.worker;
  const stop = new AbortController();
  const watch = new ServerWatch({ meters, log });
  const running: Promise<void>[] = [];
  let followed: RunningWorker | undefined;
  const health =
    healthAddress === undefined
      ? undefined
      : await openHealthServer(healthAddress, {
          worker: () => followed?.state() ?? 'starting',
          servers: () => watch.states(),
        });
  if (healthAddress !== undefined) log.info({ address: healthAddress }, 'health endpoint open');
  return {
    follow(worker, connection, taskQueue) {
      followed = worker;
      running.push(watch.watchUntil(openProbes(settings, connection, log), stop.signal));
      if (metricsAddress === undefined) return;
      meters.set('pg2click_worker_info', 1, { role, version });
      running.push(reportProcessUntil(meters, stop.signal));
      if (role !== 'consumer') running.push(collect(connection, taskQueue));
    },
    async close() {
      stop.abort();
      await Promise.allSettled(running);
      await health?.close();
    },
  };

  /** On connections of its own: what reports trouble must not wait behind it. */
  async function collect(connection: NativeConnection, taskQueue: string): Promise<void> {
    const options = { max: 1, name: 'metrics', statementMs: STATEMENT_MS, log };
    const source = createPostgresPool(settings, options);
    const ledger = settings.ledger === undefined ? source : createPostgresPool(ledgerSettings(settings), options);
    const slots = settings.wal === undefined ? source : createPostgresPool(walSettings(settings), options);
    const clickhouse = connectClickHouse(settings, { requestTimeoutMs: 10_000, connections: 1 });
    const temporal = new Client({ connection, namespace: settings.temporal.namespace });
    try {
      const kafka = connectKafka(settings, log);
      const findLateReaders = (readers: readonly TopicPlace[]): Promise<readonly boolean[]> =>
        withAdmin(kafka, (admin) => findLate(admin, readers, settings.kafka.retentionMs));
      const servers = { ledger, source, slots, clickhouse, temporal };
      const deps = { ...servers, taskQueue, findLate: findLateReaders, meters, log };
      await collectUntil(deps, stop.signal);
    } finally {
      await Promise.allSettled([source.end(), clickhouse.close()]);
      const others = [...new Set([ledger, slots])].filter((pool) => pool !== source);
      await Promise.allSettled(others.map((pool) => pool.end()));
    }
  }
}
