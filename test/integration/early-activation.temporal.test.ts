import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import type { SliceReceipt } from '../../src/domain/receipt.js';
import { workflowIdOf } from '../../src/domain/table-name.js';
import { installRuntime } from '../../src/worker/runtime.js';
import { REPLICATE_TABLE, statusQuery, type TableStatus } from '../../workflows/messages.js';
import { temporalOptions } from '../support/clients.js';
import { addressOf, freshName, waitFor } from '../support/stack.js';
import { slice } from '../support/table-events.js';
import { STEADY } from '../support/table-workflow.js';
import { bundleWorkflows } from '../support/workflow-bundle.js';

/** A query is on the server when this is over; nothing tells. Where it is not, the test sees nothing. */
const ASKED_MS = 1_000;
const DEADLINE = { deadlineMs: 60_000, everyMs: 200 };

it('a query that waited for a worker while a slice ended does not change what the workflow does', async () => {
  installRuntime({ log: pino({ level: 'silent' }) });
  const temporal = addressOf('temporal');
  const { namespace } = temporal;
  const [connection, native] = await Promise.all([
    Connection.connect(temporalOptions(temporal)),
    NativeConnection.connect(temporalOptions(temporal)),
  ]);
  onTestFinished(async () => {
    await connection.close();
    await native.close();
  });
  const name = freshName('early');
  const taskQueues = { workflow: name, producer: `${name}-producer`, consumer: `${name}-consumer` };
  const run = async (worker: Promise<Worker>): Promise<() => Promise<void>> => {
    const running = await worker;
    const ended = running.run();
    let isStopped = false;
    const stop = async (): Promise<void> => {
      if (!isStopped) running.shutdown();
      isStopped = true;
      await ended;
    };
    onTestFinished(stop);
    return stop;
  };

  const loads: (() => void)[] = [];
  const held = (stage: 'publish' | 'load:main') => (): Promise<SliceReceipt> => {
    const context = Context.current();
    const beat = setInterval(() => context.heartbeat(), 500);
    const over = new Promise<void>((resolve) => {
      if (stage === 'load:main') loads.push(resolve);
      context.cancellationSignal.addEventListener('abort', () => resolve());
    });
    return over.then(() => slice(stage, { lagSeconds: 7 })).finally(() => clearInterval(beat));
  };
  const activities = { ...STEADY, publishSlice: held('publish'), loadSlice: held('load:main') };
  for (const taskQueue of [taskQueues.producer, taskQueues.consumer])
    await run(Worker.create({ connection: native, namespace, taskQueue, activities }));
  const workflowBundle = await bundleWorkflows();
  const decide = (): Promise<() => Promise<void>> =>
    run(Worker.create({ connection: native, namespace, taskQueue: taskQueues.workflow, workflowBundle }));

  const client = new Client({ connection, namespace });
  const handle = await client.workflow.start(REPLICATE_TABLE, {
    workflowId: workflowIdOf('default', { schema: 'public', table: name }),
    taskQueue: taskQueues.workflow,
    args: [{ table: name, sliceMs: 60_000, taskQueues }],
  });
  onTestFinished(async () => void (await handle.terminate('the test is over').catch(() => undefined)));
  const stopFirst = await decide();
  await waitFor(() => Promise.resolve(loads.length === 1), { ...DEADLINE, what: 'the first slice' });
  await stopFirst();

  const asked = Promise.allSettled([1, 2, 3].map(() => handle.query(statusQuery)));
  await sleep(ASKED_MS);
  const before = await lengthOf(handle);
  loads[0]?.();
  await waitFor(async () => (await lengthOf(handle)) > before, { ...DEADLINE, what: 'the end of the slice' });
  const stopSecond = await decide();
  await asked;
  await waitFor(() => Promise.resolve(loads.length === 2), { ...DEADLINE, what: 'the second slice' });
  const ofSecond = await statusOf(handle);
  await stopSecond();
  await decide();
  expect(ofSecond.stages['load:main']).toMatchObject({ slices: 1 });
  expect(await statusOf(handle)).toEqual(ofSecond);
}, 120_000);

async function lengthOf(handle: WorkflowHandle): Promise<number> {
  return (await handle.describe()).historyLength;
}

/** One that fails is asked again, as `status` does. */
function statusOf(handle: WorkflowHandle): Promise<TableStatus> {
  return waitFor(() => handle.query(statusQuery).catch(() => undefined), { ...DEADLINE, what: 'the status' });
}
