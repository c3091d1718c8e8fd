import { totalsOf } from '../../workflows/stage-totals.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { RemoveRequest, SliceRequest } from '../../src/domain/receipt.js';
import { FIRST_ROUTE, stagesOf } from '../../src/domain/route.js';
import { Failure } from '../../src/failure/failure.js';
import {
  pauseSignal,
  requestPause,
  requestRemove,
  requestResume,
  resumeSignal,
  type TableStatus,
} from '../../workflows/messages.js';
import { waitFor } from '../support/stack.js';
import { COPIED, PREPARED } from '../support/table-events.js';
import { idleSlice, type ScriptedTable, tableWorkflows } from '../support/table-workflow.js';

const tables = tableWorkflows();

const isStreaming = (status: TableStatus): boolean => status.phase === 'streaming' && status.running.length === 2;
const isQuiet = (status: TableStatus): boolean => status.phase === 'paused' && status.running.length === 0;

async function searchAttribute(table: ScriptedTable, name: string): Promise<string | undefined> {
  const key = defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
  return (await table.handle.describe()).typedSearchAttributes.get(key);
}

async function currentDetails(table: ScriptedTable): Promise<string> {
  const metadata = await table.handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata');
  return metadata.currentDetails ?? '';
}

it('prepares, copies and streams, and shows it', async () => {
  const table = await tables.start();
  const status = await table.until('streaming', isStreaming);
  expect(status).toMatchObject({ prepared: PREPARED, copied: COPIED, runs: 1, failure: null, pipeline: 'default' });
  expect(await searchAttribute(table, 'Pg2clickTable')).toBe(`public.${status.table}`);
  await waitFor(async () => (await searchAttribute(table, 'Pg2clickPhase')) === 'streaming', {
    deadlineMs: 10_000,
    what: 'the phase among the search attributes',
  });
  expect(await currentDetails(table)).toContain('**streaming**');
});

it('starts the next slice at once, with the checkpoint of the last', async () => {
  const requests: SliceRequest[] = [];
  const table = await tables.start({
    input: { sliceMs: 50 },
    activities: {
      publishSlice: (request) => {
        requests.push(request);
        return idleSlice('publish', request, { rows: 10, bytes: 100 });
      },
    },
  });
  const { stages } = await table.until('four slices', (status) => totalsOf(status, 'publish').slices >= 4);
  const witnesses = requests.map(({ checkpoint }) => checkpoint?.batch ?? null);
  expect(witnesses.slice(0, 4)).toEqual([null, 1, 2, 3]);
  expect(stages['publish']).toMatchObject({
    rows: totalsOf({ stages }, 'publish').slices * 10,
    bytes: totalsOf({ stages }, 'publish').slices * 100,
  });
});

it('publishes and loads while the first load runs', async () => {
  const copying = gate();
  const table = await tables.start({
    input: { sliceMs: 50 },
    activities: { copyTable: () => copying.promise.then(() => COPIED) },
  });
  const status = await table.until(
    'slices',
    (s) => totalsOf(s, 'load:main').slices > 1 && totalsOf(s, 'publish').slices > 1,
  );
  expect(status).toMatchObject({ phase: 'copying', copied: null });
  copying.resolve();
  await table.until('streaming', isStreaming);
});

it('copies slice after slice, adds up what they did, and shows how far it is', async () => {
  const second = gate();
  const progress = { chunks: 4, chunksDone: 2, rows: 50, bytes: 400, bytesDone: 200 };
  let slices = 0;
  const table = await tables.start({
    activities: {
      async copyTable() {
        slices += 1;
        if (slices === 1) return { ...COPIED, rows: 50, bytes: 500, seconds: 2, finished: false, progress };
        await second.promise;
        return { ...COPIED, rows: 90, bytes: 400, seconds: 1, finished: true };
      },
    },
  });
  const copying = await table.until('the first slice', (s) => s.copying !== null);
  expect(copying).toMatchObject({ phase: 'copying', copied: null, copying: { rows: 50, progress } });
  second.resolve();
  const done = await table.until('streaming', isStreaming);
  expect(done).toMatchObject({ copying: null, copied: { rows: 90, bytes: 900, seconds: 3 } });
});

it('pauses after the batch in hand and keeps its receipt; resume goes on from there', async () => {
  const table = await tables.start();
  await table.until('streaming', isStreaming);
  await table.handle.signal(pauseSignal, { reason: 'vacuum' });
  const paused = await table.until('quiet', isQuiet);
  expect(paused.paused?.reason).toBe('vacuum');
  expect(paused.stages).toMatchObject({ publish: { slices: 1, rows: 10 }, 'load:main': { slices: 1, rows: 10 } });
  expect((await table.handle.describe()).raw.pendingActivities ?? []).toEqual([]);
  await table.handle.signal('resume');
  expect((await table.until('streaming', isStreaming)).paused).toBeNull();
});

it('pauses in the middle of the first load, which goes on afterwards', async () => {
  let copies = 0;
  const table = await tables.start({
    activities: {
      async copyTable() {
        copies += 1;
        if (copies > 1) return COPIED;
        return untilCancelled();
      },
    },
  });
  // One that a worker has not taken yet is cancelled without a copy.
  await table.until('copying', () => copies === 1);
  await table.handle.signal(pauseSignal, {});
  expect((await table.until('quiet', isQuiet)).copied).toBeNull();
  await table.handle.signal(resumeSignal, {});
  await table.until('streaming', isStreaming);
  expect(copies).toBe(2);
});

it('parks only the stage that a person must look at; resume tries it again', async () => {
  let refusing = true;
  const table = await tables.start({
    input: { sliceMs: 50 },
    activities: {
      loadSlice: (request) => {
        const cause = new Error('Cannot parse input: "Jane Doe"');
        if (refusing) throw new Failure('RowRefused', { message: 'orders: row 7 was refused.', cause });
        return idleSlice('load:main', request);
      },
    },
  });
  const parked = await table.until('parked', (status) => status.phase === 'parked');
  expect(parked.failure).toMatchObject({
    where: 'load:main',
    kind: 'RowRefused',
    message: 'orders: row 7 was refused.',
  });
  expect(parked.failure?.remedy).toContain('resume');
  const later = await table.until(
    'publishing',
    (s) => totalsOf(s, 'publish').slices > totalsOf(parked, 'publish').slices + 1,
  );
  expect(totalsOf(later, 'load:main').slices).toBe(0);
  expect(await searchAttribute(table, 'Pg2clickFailure')).toBe('RowRefused');
  expect(await currentDetails(table)).toContain('**What to do:**');

  refusing = false;
  const answer = await table.handle.executeUpdate(requestResume, { args: [{}] });
  expect(answer).toMatchObject({ accepted: true, changed: true, message: 'Resumed. Tried again: load:main.' });
  expect((await table.until('loading', (status) => totalsOf(status, 'load:main').slices > 0)).failure).toBeNull();
  expect(await searchAttribute(table, 'Pg2clickFailure')).toBeUndefined();
});

it('parks the whole table when it cannot be prepared', async () => {
  let missing = true;
  const table = await tables.start({
    activities: {
      prepareTable: async () => {
        if (missing) throw new Failure('MissingTable', { message: 'There is no table public.orders.' });
        return PREPARED;
      },
    },
  });
  const parked = await table.until('parked', (status) => status.phase === 'parked');
  expect(parked).toMatchObject({ running: [], prepared: null, failure: { where: 'prepare', kind: 'MissingTable' } });
  missing = false;
  await table.handle.signal(resumeSignal, {});
  await table.until('streaming', isStreaming);
});

it('leaves what passes to the retries of Temporal', async () => {
  let attempts = 0;
  const table = await tables.start({
    input: { sliceMs: 50 },
    activities: {
      loadSlice: (request) => {
        attempts += 1;
        if (attempts === 1) throw new Failure('SinkUnavailable', { message: 'ClickHouse does not answer.' });
        if (attempts === 2) throw new Error('nobody thought of this');
        return idleSlice('load:main', request);
      },
    },
  });
  const status = await table.until('loading', (s) => totalsOf(s, 'load:main').slices > 0);
  expect(status).toMatchObject({ phase: 'streaming', parks: [], failure: null });
});

it('pauses a slice that is between two attempts', async () => {
  const table = await tables.start({
    activities: {
      loadSlice: async () => {
        throw new Failure('SinkUnavailable', { message: 'ClickHouse does not answer.' });
      },
    },
  });
  await waitFor(
    async () => (await table.handle.describe()).raw.pendingActivities?.some(({ attempt }) => (attempt ?? 0) >= 3),
    { deadlineMs: 20_000, what: 'the third attempt' },
  );
  await table.handle.signal(pauseSignal, {});
  expect(await table.until('quiet', isQuiet)).toMatchObject({ parks: [], failure: null });
});

it('ignores signals that make no sense, and shows what was wrong with them', async () => {
  const table = await tables.start();
  await table.until('streaming', isStreaming);
  const nonsense: readonly (readonly [string, unknown, RegExp])[] = [
    ['pause', 'now', /one JSON object/u],
    ['remove', { droptarget: true }, /no field "droptarget"/u],
    ['resume', [1], /one JSON object/u],
    ['stop', {}, /no such signal/u],
  ];
  for (const [name, message, problem] of nonsense) {
    await table.handle.signal(name, message);
    const { ignored } = await table.until(`${name} ignored`, (status) => status.ignored?.name === name);
    expect(ignored?.problem).toMatch(problem);
  }
  expect(await table.status()).toMatchObject({ phase: 'streaming', paused: null });
});

it('answers updates, and rejects what makes no sense', async () => {
  const table = await tables.start();
  await table.until('streaming', isStreaming);
  expect(await table.handle.executeUpdate(requestResume, { args: [{}] })).toEqual({
    accepted: true,
    changed: false,
    phase: 'streaming',
    message: 'Nothing to resume: the table is streaming.',
  });
  const pause = { requestId: 'r1', reason: 'vacuum' };
  expect(await table.handle.executeUpdate(requestPause, { args: [pause] })).toMatchObject({
    changed: true,
    phase: 'paused',
  });
  await table.handle.signal(resumeSignal, { requestId: 'r2' });
  expect(await table.handle.executeUpdate(requestPause, { args: [pause] })).toMatchObject({ changed: false });
  await table.until('streaming', isStreaming);
  const rejected = table.handle.executeUpdate('requestRemove', { args: [{ dropTarget: 'yes' }] });
  await expect(rejected).rejects.toMatchObject({ cause: { message: 'dropTarget must be true or false.' } });
});

it('removes when nothing else runs any more, and ends with the status of a removed table', async () => {
  const removals: RemoveRequest[] = [];
  let inHand = 0;
  const table = await tables.start({
    activities: {
      loadSlice: async (request) => {
        inHand += 1;
        const receipt = await idleSlice('load:main', request);
        await sleep(300);
        inHand -= 1;
        return receipt;
      },
      removeTable: async (request) => {
        expect(inHand).toBe(0);
        removals.push(request);
      },
    },
  });
  const { table: name } = await table.until('streaming', isStreaming);
  const answer = await table.handle.executeUpdate(requestRemove, { args: [{ dropTarget: true }] });
  expect(answer).toMatchObject({ accepted: true, phase: 'removing' });
  const result = (await table.handle.result()) as TableStatus;
  expect(result).toMatchObject({ phase: 'removed', running: [], stages: { 'load:main': { slices: 1 } } });
  expect(removals).toEqual([{ id: '1', pipeline: 'default', schema: 'public', table: name, dropTarget: true }]);
  expect(await searchAttribute(table, 'Pg2clickPhase')).toBe('removed');
});

it('stops what goes on without its slices after the last slice has ended, and lets no slice begin before that is done', async () => {
  const happened: string[] = [];
  const stages = stagesOf({ ...FIRST_ROUTE, loaders: [{ name: 'main', kind: 'kafka-engine' }] });
  const table = await tables.start({
    activities: {
      prepareTable: () => Promise.resolve({ ...PREPARED, stages }),
      watchEngine: async (request) => {
        happened.push('slice begins');
        const receipt = await idleSlice('load:main', request);
        happened.push('slice ends');
        return receipt;
      },
      stopEngine: async ({ stage }) => {
        happened.push(`stop ${stage}`);
        await sleep(500);
        happened.push('stopped');
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal(pauseSignal, {});
  await table.until('stopping', ({ running }) => running.includes('stop:load:main'));
  await table.handle.signal(resumeSignal, {});
  await table.until('streaming', (status) => isStreaming(status) && status.running.includes('load:main'));
  await table.handle.signal(pauseSignal, {});
  await table.until('paused', isQuiet);
  const stop = ['stop load:main', 'stopped'];
  const slice = ['slice begins', 'slice ends'];
  expect(happened).toEqual([...slice, ...stop, ...slice, ...stop]);
});

it('parks a removal that fails, and resume tries it again', async () => {
  let attempts = 0;
  const table = await tables.start({
    activities: {
      removeTable: async () => {
        attempts += 1;
        if (attempts === 1) throw new Failure('Unauthorized', { message: 'pg2click may not drop the triggers.' });
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal('remove');
  expect(await table.until('parked', (s) => s.phase === 'parked')).toMatchObject({ failure: { where: 'remove' } });
  await table.handle.signal(resumeSignal, {});
  expect(await table.handle.result()).toMatchObject({ phase: 'removed' });
});

it('carries everything over when it continues as new', async () => {
  const table = await tables.start();
  await table.until('streaming', isStreaming);
  await table.handle.signal(pauseSignal, { requestId: 'r1' });
  await table.handle.signal(resumeSignal, { requestId: 'r2' });
  await table.until('streaming', isStreaming);
  // 4 MiB of history is what makes the server suggest it, as counted before the message at hand: the fourth fat one, which
  // is nonsense besides, is sure to find them.
  for (const letter of ['a', 'b', 'c', 'd']) {
    await table.handle.signal('pause', { reason: letter.repeat(1_500_000) });
    await sleep(200);
  }
  const status = await table.until('a second run that streams', (s) => s.runs === 2 && isStreaming(s));
  expect(status).toMatchObject({ prepared: PREPARED, copied: COPIED, ignored: { name: 'pause' } });
  expect(totalsOf(status, 'publish').checkpoint?.batch).toBe(totalsOf(status, 'publish').slices);
  expect(totalsOf(status, 'load:main').slices).toBeGreaterThan(0);
  const repeat = await table.handle.executeUpdate(requestPause, { args: [{ requestId: 'r1' }] });
  expect(repeat).toMatchObject({ changed: false, phase: 'streaming' });
});

it('continues as new in the middle of a first load, which goes on in the next run', async () => {
  let copies = 0;
  const table = await tables.start({
    activities: {
      copyTable: async () => {
        copies += 1;
        if (copies > 1) return COPIED;
        const context = Context.current();
        const beat = setInterval(() => context.heartbeat(), 500);
        await context.cancelled.catch(() => clearInterval(beat));
        return { ...COPIED, finished: false };
      },
    },
  });
  await table.until('copying', () => copies === 1);
  for (const letter of ['a', 'b', 'c']) {
    await table.handle.signal('configure', { capture: letter.repeat(1_500_000) });
    await sleep(200);
  }
  // Temporal suggests it with the next task.
  await table.handle.signal('configure', {});
  const streaming = await table.until('a second run that streams', (s) => s.runs === 2 && isStreaming(s));
  expect(copies).toBe(2);
  expect(streaming.copied).toMatchObject({ rows: COPIED.rows, bytes: 2 * COPIED.bytes });
});

it('is paused by who cancels it, goes on by resume, and ends when it is removed', async () => {
  const table = await tables.start();
  await table.until('streaming', isStreaming);
  await table.handle.cancel();
  const paused = await table.until('paused', (s) => s.phase === 'paused' && s.running.length === 0);
  expect(paused.paused).toMatchObject({ reason: 'Request Cancellation in Temporal' });
  await table.handle.signal('resume', {});
  await table.until('streaming again', isStreaming);
  await table.handle.signal('remove', {});
  await expect(table.handle.result()).resolves.toMatchObject({ phase: 'removed' });
});

it('goes on with its removal where somebody cancels that', async () => {
  const removing = gate();
  const table = await tables.start({ activities: { removeTable: () => removing.promise.then(() => null) as never } });
  await table.until('streaming', isStreaming);
  await table.handle.signal('remove', {});
  await table.until('removing', (s) => s.running.includes('remove'));
  await table.handle.cancel();
  removing.resolve();
  await expect(table.handle.result()).resolves.toMatchObject({ phase: 'removed' });
});

it.each([{ table: '' }, { table: 'orders', schema: 7 as never }, { sliceMs: 0 }, { sliceMs: '60s' as never }])(
  'fails at once with the input %j: there is nothing to wait for',
  async (input) => {
    const table = await tables.start({ input });
    await expect(table.handle.result()).rejects.toMatchObject({ cause: { type: 'Misconfigured' } });
  },
);

/** An activity that does not end by itself, as a long copy does. */
async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 500);
  try {
    return await context.cancelled;
  } finally {
    clearInterval(beat);
  }
}

function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((open) => {
    resolve = open;
  });
  return { promise, resolve };
}
