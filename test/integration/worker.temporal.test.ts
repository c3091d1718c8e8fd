import { totalsOf } from '../../workflows/stage-totals.js';
import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SEARCH_ATTRIBUTES } from '../../src/domain/search-attributes.js';
import { Failure } from '../../src/failure/failure.js';
import { ensureSearchAttributes } from '../../src/worker/search-attributes.js';
import type { TableStatus } from '../../workflows/messages.js';
import { temporalOptions } from '../support/clients.js';
import { addressOf, freshName, waitFor } from '../support/stack.js';
import { idleSlice, tableWorkflows } from '../support/table-workflow.js';

const tables = tableWorkflows();
let connection: Connection;

beforeAll(async () => {
  connection = await Connection.connect(temporalOptions(addressOf('temporal')));
});
afterAll(() => connection.close());

const isStreaming = (status: TableStatus): boolean => status.phase === 'streaming' && status.running.length === 2;

it('stops after the batches in hand, long before a slice is over, and another worker goes on', async () => {
  let loaded = 0;
  const table = await tables.start({
    activities: {
      loadSlice: async (request) => {
        const receipt = await idleSlice('load:main', request);
        loaded += 1;
        return receipt;
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.worker.stop();
  expect(loaded).toBe(1);
  await table.join();
  const status = await table.until('the next slices', (s) => isStreaming(s) && totalsOf(s, 'load:main').slices === 1);
  expect(status.stages).toMatchObject({ publish: { slices: 1, rows: 10 }, 'load:main': { slices: 1, rows: 10 } });
});

it('of one role leaves the other role’s work to others, and runs workflows all the same', async () => {
  const table = await tables.start({ worker: { role: 'producer' }, input: { sliceMs: 50 } });
  const alone = await table.until('publishing', ({ stages }) => totalsOf({ stages }, 'publish').slices > 2);
  expect(totalsOf(alone, 'load:main').slices).toBe(0);
  await table.worker.stop();
  await table.join({ role: 'consumer' });
  const { stages } = await table.until('loading', (status) => totalsOf(status, 'load:main').slices > 2);
  expect(totalsOf({ stages }, 'publish').slices - totalsOf(alone, 'publish').slices).toBeLessThanOrEqual(2);
});

it('tells Temporal the kind, the sentence and the remedy of a failure, and nothing that a server said', async () => {
  const cause = new Error('duplicate key value: (email)=(jane@example.org)');
  const table = await tables.start({
    activities: {
      prepareTable: async () => {
        throw new Failure('TargetTaken', { message: 'Another table owns default.orders.', cause });
      },
    },
  });
  await table.until('parked', ({ phase }) => phase === 'parked');
  const { events } = await table.handle.fetchHistory();
  const failed = events?.find((event) => event.activityTaskFailedEventAttributes)?.activityTaskFailedEventAttributes;
  expect(failed?.failure).toMatchObject({
    message: 'Another table owns default.orders.',
    applicationFailureInfo: { type: 'TargetTaken', nonRetryable: true },
  });
  expect(failed?.failure?.cause ?? null).toBeNull();
  expect(JSON.stringify(events)).not.toContain('jane');
});

it('that cannot start leaves nothing behind', async () => {
  const table = await tables.start();
  const taken = `${(await table.status()).table}-producer`;
  const workflow = freshName('queue');
  const consumer = freshName('queue');
  await expect(table.join({ taskQueues: { workflow, producer: taken, consumer } })).rejects.toThrow(/not allowed/u);
  await table.join({ taskQueues: { workflow, producer: freshName('queue'), consumer } });
});

it('teaches a namespace the search attributes, and knows when it has them', async () => {
  const namespace = freshName('ns').replace('_', '-');
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: (24 * 60 * 60) as never },
  });
  await waitFor(async () => connection.operatorService.listSearchAttributes({ namespace }), {
    deadlineMs: 30_000,
    what: 'the namespace',
  });
  await ensureSearchAttributes(connection.operatorService, namespace);
  await ensureSearchAttributes(connection.operatorService, namespace);
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)));
});

it('refuses a namespace whose search attribute has another type', async () => {
  const namespace = freshName('ns').replace('_', '-');
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: (24 * 60 * 60) as never },
  });
  const add = { namespace, searchAttributes: { Pg2clickPhase: 3 } };
  await waitFor(async () => connection.operatorService.addSearchAttributes(add), {
    deadlineMs: 30_000,
    what: 'the namespace',
  });
  await expect(ensureSearchAttributes(connection.operatorService, namespace)).rejects.toMatchObject({
    kind: 'Misconfigured',
    message: expect.stringContaining('Pg2clickPhase') as unknown,
  });
});

it('says how many attributes there may be where a namespace has no room for ours', async () => {
  const namespace = freshName('ns').replace('_', '-');
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: (24 * 60 * 60) as never },
  });
  const others = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`Other${n}`, 2]));
  await waitFor(async () => connection.operatorService.addSearchAttributes({ namespace, searchAttributes: others }), {
    deadlineMs: 30_000,
    what: 'the namespace',
  });
  const { operatorService } = connection;
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const keywords = Object.values(customAttributes).filter((type) => (type as number) === 2).length;
  await expect(ensureSearchAttributes(operatorService, namespace)).rejects.toMatchObject({
    kind: 'Misconfigured',
    message: expect.stringContaining(
      `has ${keywords} search attributes of type Keyword. pg2click needs 4 more`,
    ) as unknown,
    remedy: expect.stringContaining('search-attribute remove --name NAME') as unknown,
  });
  // The remedy: four are needed, and there were two places.
  await operatorService.removeSearchAttributes({
    namespace,
    searchAttributes: ['Other1', 'Other2', 'Other3', 'Other4'],
  });
  await waitFor(async () => ensureSearchAttributes(operatorService, namespace).then(() => true), {
    deadlineMs: 30_000,
    what: 'room',
  });
});
