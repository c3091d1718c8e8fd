import { totalsOf } from '../../workflows/stage-totals.js';
import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findLacking, type TemporalServices } from '../../src/control/search-attributes.js';
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

const DAY = { seconds: (24 * 60 * 60) as never };

/** A namespace that has these search attributes already. @param others of type Keyword, which take all places but so many */
async function namespaceWith(options: { free?: number; taken?: Record<string, number> }): Promise<string> {
  const namespace = freshName('ns').replace('_', '-');
  await connection.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: DAY });
  const known = await waitFor(
    async () => (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes,
    { deadlineMs: 30_000, what: 'the namespace' },
  );
  const { free = 10, taken = {} } = options;
  const others = Array.from({ length: 10 - free - Object.keys(known).length }, (_, n) => [`Other${n}`, 2] as const);
  const searchAttributes = { ...taken, ...Object.fromEntries(others) };
  if (Object.keys(searchAttributes).length > 0)
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  return namespace;
}

it('teaches a namespace the search attributes, and knows when it has them', async () => {
  const namespace = await namespaceWith({});
  expect(await ensureSearchAttributes(connection, namespace)).toBeUndefined();
  expect(await ensureSearchAttributes(connection, namespace)).toBeUndefined();
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)));
  expect(await findLacking(connection, namespace)).toEqual([]);
});

it('goes on without a search attribute that is there with another type', async () => {
  const namespace = await namespaceWith({ taken: { Pg2clickPhase: 3 } });
  expect(await ensureSearchAttributes(connection, namespace)).toMatchObject({
    names: ['Pg2clickPhase'],
    message: expect.stringContaining('of another type is there: Pg2clickPhase') as unknown,
    remedy: expect.stringContaining(
      `search-attribute remove --name Pg2clickPhase --namespace ${namespace}.`,
    ) as unknown,
  });
});

it('adds the most useful search attributes that a namespace has room for, and says what leads to the others', async () => {
  const namespace = await namespaceWith({ free: 2 });
  expect(await ensureSearchAttributes(connection, namespace)).toMatchObject({
    names: ['Pg2clickPipeline', 'Pg2clickTable'],
    message: expect.stringContaining('it has 10 of type Keyword, and Temporal lets it have 10') as unknown,
    remedy: expect.stringContaining(`search-attribute remove --name NAME --namespace ${namespace})`) as unknown,
  });
  await connection.operatorService.removeSearchAttributes({ namespace, searchAttributes: ['Other1', 'Other2'] });
  await waitFor(async () => (await ensureSearchAttributes(connection, namespace)) === undefined, {
    deadlineMs: 30_000,
    what: 'room',
  });
});

describe('where the role may neither list nor add search attributes, as in a Temporal Cloud', () => {
  /** The real server, without its operator's service. */
  const refused = (code: number): TemporalServices => {
    const refuse = (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code }));
    const operatorService = { listSearchAttributes: refuse, addSearchAttributes: refuse };
    return { workflowService: connection.workflowService, operatorService: operatorService as never };
  };

  it.each([
    ['PERMISSION_DENIED', 7],
    ['UNIMPLEMENTED', 12],
  ])('%s: tables go on without those that a question about workflows does not know', async (_name, code) => {
    const namespace = await namespaceWith({ taken: { Pg2clickPhase: 2, Pg2clickLagSeconds: 3 } });
    const lacking = ['Pg2clickFailure', 'Pg2clickPipeline', 'Pg2clickTable'];
    await waitFor(async () => (await findLacking(refused(code), namespace))?.length === lacking.length, {
      deadlineMs: 30_000,
      what: 'the attributes that are there',
    });
    expect(await ensureSearchAttributes(refused(code), namespace)).toMatchObject({
      names: lacking,
      message: expect.stringContaining('adding them was refused') as unknown,
      remedy: expect.stringContaining('search-attribute create --name Pg2clickFailure --type Keyword') as unknown,
    });
  });

  it('takes one of another type for one that is lacking', async () => {
    const namespace = await namespaceWith({ taken: { Pg2clickPhase: 3, Pg2clickLagSeconds: 2, Pg2clickTable: 2 } });
    const query = `Pg2clickTable = 'a'`;
    await waitFor(() => connection.workflowService.countWorkflowExecutions({ namespace, query }), {
      deadlineMs: 30_000,
      what: 'the attributes that are there',
    });
    expect(await findLacking(refused(7), namespace)).toEqual(
      Object.keys(SEARCH_ATTRIBUTES).filter((name) => name !== 'Pg2clickTable'),
    );
  });

  it('knows nothing while the server does not answer', async () => {
    const silent = (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code: 14 }));
    const workflowService = { countWorkflowExecutions: silent } as never;
    expect(await findLacking({ ...refused(14), workflowService }, 'default')).toBeUndefined();
  });
});
