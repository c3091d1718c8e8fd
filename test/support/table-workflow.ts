import { setTimeout as sleepUntil } from 'node:timers/promises';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { portableHistory } from '../../src/control/portable-history.js';
import type { ReplicationActivities, SliceReceipt, SliceRequest } from '../../src/domain/receipt.js';
import { replaySpecs } from '../../src/domain/replay.js';
import type { StageId } from '../../src/domain/route.js';
import { workflowIdOf } from '../../src/domain/table-name.js';
import { installRuntime } from '../../src/worker/runtime.js';
import { type RunningWorker, startWorker, type WorkerSettings } from '../../src/worker/start.js';
import { REPLICATE_TABLE, type ReplicateTableInput, statusQuery, type TableStatus } from '../../workflows/messages.js';
import { temporalOptions } from './clients.js';
import { addressOf, freshName, waitFor } from './stack.js';
import { COPIED, PREPARED, slice } from './table-events.js';
import { withLoaders } from './loader-receipts.js';
import { bundleFile } from './workflow-bundle.js';

const log = pino({ level: process.env['PG2CLICK_TEST_LOG'] ?? 'silent' });

/** A table whose activities the test scripts, on task queues of its own, on the real Temporal server. */
export interface ScriptedTable {
  readonly handle: WorkflowHandle;
  readonly worker: RunningWorker;
  /** Starts another worker on the table's queues, with the same activities. */
  join(settings?: Partial<WorkerSettings>): Promise<RunningWorker>;
  status(): Promise<TableStatus>;
  /** Waits until the status holds what is asked of it. */
  until(what: string, holds: (status: TableStatus) => boolean): Promise<TableStatus>;
}

export interface Script {
  readonly activities?: Partial<ReplicationActivities>;
  readonly input?: Partial<ReplicateTableInput>;
  readonly worker?: Partial<WorkerSettings>;
}

/** For a whole file: connects, bundles once. Call it at the top of the file. */
export function tableWorkflows(): { start(script?: Script): Promise<ScriptedTable>; client(): Client } {
  let connection: Connection;
  let native: NativeConnection;
  let bundlePath: string;
  let namespace: string;

  beforeAll(async () => {
    installRuntime({ log });
    const temporal = addressOf('temporal');
    namespace = temporal.namespace;
    connection = await Connection.connect(temporalOptions(temporal));
    native = await NativeConnection.connect(temporalOptions(temporal));
    bundlePath = await bundleFile();
  });
  afterAll(async () => {
    await connection.close();
    await native.close();
  });

  return {
    client: () => new Client({ connection, namespace }),
    async start(script = {}) {
      const name = freshName('table');
      const taskQueues = { workflow: name, producer: `${name}-producer`, consumer: `${name}-consumer` };
      const activities = { ...STEADY, ...script.activities };
      const join = async (settings: Partial<WorkerSettings> = {}): Promise<RunningWorker> => {
        const joined = await startWorker({
          connection: native,
          namespace,
          role: 'all',
          activities: { producer: activities, consumer: activities },
          log,
          bundlePath,
          taskQueues,
          activitySlots: 8,
          ...settings,
        });
        onTestFinished(() => joined.stop());
        return joined;
      };
      const worker = await join(script.worker);
      const input: ReplicateTableInput = { table: name, sliceMs: 60_000, taskQueues, ...script.input };
      const client = new Client({ connection, namespace });
      const handle = await client.workflow.start(REPLICATE_TABLE, {
        workflowId: workflowIdOf('default', { schema: 'public', table: name }),
        taskQueue: taskQueues.workflow,
        args: [input],
      });
      onTestFinished(async ({ task }) => {
        await record(task.name, client.workflow.getHandle(handle.workflowId));
        await handle.terminate('the test is over').catch(() => undefined);
      });
      const status = () => handle.query(statusQuery);
      return {
        handle: client.workflow.getHandle(handle.workflowId),
        worker,
        join,
        status,
        until: (what, holds) =>
          waitFor(
            async (see) => {
              const seen = await status();
              see(seen);
              return holds(seen) ? seen : undefined;
            },
            { deadlineMs: 20_000, what },
          ),
      };
    },
  };
}

/** With PG2CLICK_RECORD_HISTORIES, the name of a folder: keeps the history of every test's table there, to be replayed. */
async function record(test: string, handle: WorkflowHandle): Promise<void> {
  const folder = process.env['PG2CLICK_RECORD_HISTORIES'];
  if (folder === undefined || folder === '') return;
  const name = test
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/gu, '-')
    .slice(0, 60);
  writeFileSync(join(folder, `${name}.json`), await portableHistory(handle));
}

/** Does nothing until the slice's time is over or it is told to stop; then says what `receipt` says. */
export async function idleSlice(
  stage: StageId,
  request: SliceRequest,
  receipt: Partial<SliceReceipt> = {},
): Promise<SliceReceipt> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 500);
  try {
    await sleepUntil(request.sliceMs, undefined, { signal: context.cancellationSignal }).catch(() => undefined);
  } finally {
    clearInterval(beat);
  }
  const batch = (request.checkpoint?.batch ?? 0) + 1;
  return slice(stage, { checkpoint: { batch, highest: String(batch * 10) }, ...receipt });
}

/** Activities of a table that is well. */
export const STEADY: ReplicationActivities = {
  prepareTable: () => Promise.resolve(PREPARED),
  copyTable: () => Promise.resolve(COPIED),
  publishSlice: (request) => idleSlice('publish', request),
  loadSlice: (request) => idleSlice('load:main', request),
  directSlice: (request) => idleSlice('direct:main', request),
  changeRoute: () => Promise.resolve({ next: null, prepared: PREPARED }),
  watchEngine: (request) => idleSlice('load:main', request),
  stopEngine: () => Promise.resolve(),
  replaySlice: async (request) => ({ ...(await idleSlice('replay:1', request)), finished: false }),
  addLoader: ({ loader }) => Promise.resolve(withLoaders('main', loader.name)),
  removeLoader: () => Promise.resolve(withLoaders('main')),
  startReplay: () =>
    Promise.resolve({
      stage: 'replay:1',
      stages: replaySpecs('replay:1', false),
      start: { 0: '0' },
      end: { 0: '9' },
      loader: 'main',
      target: PREPARED.target,
    }),
  cancelReplay: () => Promise.resolve(),
  startBackfill: () => Promise.resolve({ stage: 'backfill:1', loader: 'main', target: PREPARED.target }),
  cancelBackfill: () => Promise.resolve(),
  changeKept: () => Promise.resolve({ kept: [] }),
  changeQuarantine: () => Promise.resolve({ retried: 1, refused: 0, dropped: 0, open: 0 }),
  removeTable: () => Promise.resolve(),
};
