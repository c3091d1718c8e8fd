import { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { connectPostgres, ledgerSettings } from '../connect/postgres.js';
import { listNames } from '../ledger/workers.js';
import type { Log } from '../observe/log.js';
import type { Settings } from '../settings/settings.js';
import { takeOver } from './take-over.js';
import { WorkerLock } from './worker-lock.js';

export interface OpenWorkerLock {
  readonly settings: Settings;
  /** Its id. */
  readonly deployment: string;
  readonly connection: NativeConnection;
  /** As Temporal shows this worker. */
  readonly identity: string;
  readonly log: Log;
}

/** Before the worker polls: a worker whose lock is not held would not be missed. */
export async function openWorkerLock({
  settings,
  deployment,
  connection,
  identity,
  log,
}: OpenWorkerLock): Promise<WorkerLock> {
  const { pipeline } = settings;
  const temporal = new Client({ connection, namespace: settings.temporal.namespace });
  const lock = new WorkerLock({
    name: identity,
    deployment,
    connect: () => connectPostgres(ledgerSettings(settings), { name: 'worker lock' }),
    takeOver: async (session, lost, signal, onFailed) =>
      takeOver({ temporal, pipeline, tables: await listNames(session, pipeline), lost, signal, onFailed }),
    log,
  });
  await lock.begun;
  return lock;
}
