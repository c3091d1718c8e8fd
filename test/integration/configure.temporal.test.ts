import { Context } from '@temporalio/activity';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { ChangeReceipt, ChangeRequest, SliceRequest } from '../../src/domain/receipt.js';
import { stagesOf } from '../../src/domain/route.js';
import { Failure } from '../../src/failure/failure.js';
import { pauseSignal, requestConfigure, resumeSignal, type TableStatus } from '../../workflows/messages.js';
import { totalsOf } from '../../workflows/stage-totals.js';
import { waitFor } from '../support/stack.js';
import { PREPARED } from '../support/table-events.js';
import { idleSlice, tableWorkflows } from '../support/table-workflow.js';

const tables = tableWorkflows();

const stages = stagesOf({ capture: {}, transport: { kind: 'direct' }, loaders: [{ name: 'main' }] });
const SWITCHED = { ...PREPARED, topic: null, estimatedRows: null, stages };
const DIRECT = { transport: 'direct' } as const;

const isStreaming = (status: TableStatus): boolean => status.phase === 'streaming' && status.running.length === 2;
const isDirect = ({ running }: TableStatus): boolean => running.join() === 'direct:main';

/** A change as the real activity makes it, without servers. */
function nextOf({ step }: ChangeRequest): ChangeReceipt {
  switch (step) {
    case 'preparing':
      return { next: 'draining' };
    case 'draining':
      return { next: 'switching', start: { cursor: '7' } };
    case 'switching':
      return { next: 'clearing', prepared: SWITCHED };
    case 'clearing':
      return { next: null, prepared: SWITCHED };
    default:
      return step satisfies never;
  }
}

it('changes the route by an update: nothing reads the capture while the topic is drained, and nothing runs while it switches', async () => {
  const requests: ChangeRequest[] = [];
  const slices: SliceRequest[] = [];
  const inHand = new Set<string>();
  const seen: Record<string, readonly string[]> = {};
  const hold = async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    inHand.add(stage);
    try {
      return await work();
    } finally {
      await sleep(200);
      inHand.delete(stage);
    }
  };
  const table = await tables.start({
    activities: {
      publishSlice: (request) => hold('publish', () => idleSlice('publish', request)),
      loadSlice: (request) => hold('load', () => idleSlice('load:main', request)),
      directSlice: (request) => {
        slices.push(request);
        return idleSlice('direct:main', request);
      },
      changeRoute: async (request) => {
        requests.push(request);
        seen[request.step] = [...inHand];
        return nextOf(request);
      },
    },
  });
  await table.until('streaming', isStreaming);
  const answer = await table.handle.executeUpdate(requestConfigure, { args: [{ ...DIRECT, requestId: 'c1' }] });
  expect(answer).toMatchObject({ accepted: true, changed: true, phase: 'configuring' });
  const status = await table.until('direct', isDirect);
  expect(requests.map(({ step }) => step)).toEqual(['preparing', 'draining', 'switching', 'clearing']);
  expect(requests.map(({ options }) => options)).toEqual(requests.map(() => DIRECT));
  expect(requests[2]?.start).toEqual({ cursor: '7' });
  expect(seen).toMatchObject({ draining: ['load'], switching: [], clearing: [] });
  expect(status).toMatchObject({
    phase: 'streaming',
    routeChange: null,
    prepared: { topic: null, estimatedRows: 1_000 },
  });
  // The stage goes on under another name, and still knows what was confirmed.
  await waitFor(() => Promise.resolve(slices.length > 0), { deadlineMs: 20_000, what: 'a direct slice' });
  expect(slices[0]).toMatchObject({ stage: 'direct:main', checkpoint: { batch: 1 } });
  const repeat = await table.handle.executeUpdate(requestConfigure, { args: [{ ...DIRECT, requestId: 'c1' }] });
  expect(repeat).toMatchObject({ accepted: true, changed: false });
});

it('changes the route by a signal; one that makes no sense is shown', async () => {
  const table = await tables.start({ activities: { changeRoute: async (request) => nextOf(request) } });
  await table.until('streaming', isStreaming);
  for (const [message, problem] of [
    [{ transport: 'pigeon' }, /transport must be kafka or direct/u],
    [{ colour: 'red' }, /no field "colour"/u],
    [{}, /changes nothing without one of/u],
  ] as const) {
    await table.handle.signal('configure', message);
    const { ignored } = await table.until('ignored', (status) => problem.test(status.ignored?.problem ?? ''));
    expect(ignored?.name).toBe('configure');
  }
  const rejected = table.handle.executeUpdate('requestConfigure', { args: [{ payload: 'all' }] });
  await expect(rejected).rejects.toMatchObject({ cause: { message: 'payload must be row or key.' } });
  await table.handle.signal('configure', DIRECT);
  await table.until('direct', isDirect);
});

it('a pause in the middle of a change stops it; resume goes on with it', async () => {
  let attempts = 0;
  const table = await tables.start({
    activities: {
      changeRoute: async (request) => {
        if (request.step !== 'draining') return nextOf(request);
        attempts += 1;
        return attempts === 1 ? untilCancelled() : nextOf(request);
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal('configure', DIRECT);
  await table.until('draining', ({ running }) => running.join() === 'load:main,configure');
  await table.handle.signal(pauseSignal, {});
  await table.until('quiet', ({ phase, running }) => phase === 'paused' && running.length === 0);
  await table.handle.signal(resumeSignal, {});
  await table.until('direct', isDirect);
  expect(attempts).toBe(2);
});

it('a change that is parked leaves the old route running, and another wish takes its place', async () => {
  const table = await tables.start({
    input: { sliceMs: 50 },
    activities: {
      changeRoute: async (request) => {
        if (request.options.transport === 'kafka') return { next: null, prepared: PREPARED };
        throw new Failure('Unauthorized', { message: 'Kafka refuses.', remedy: 'Ask for it.' });
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal('configure', DIRECT);
  const parked = await table.until('parked', ({ phase }) => phase === 'parked');
  expect(parked).toMatchObject({ failure: { where: 'configure', kind: 'Unauthorized' } });
  await table.until(
    'publishing',
    (status) => totalsOf(status, 'publish').slices > totalsOf(parked, 'publish').slices + 2,
  );
  const answer = await table.handle.executeUpdate(requestConfigure, { args: [{ transport: 'kafka' }] });
  expect(answer).toMatchObject({ accepted: true, changed: true });
  expect(await table.until('streaming', (status) => status.routeChange === null)).toMatchObject({ parks: [] });
});

it('another wish ends a change that waits', async () => {
  const table = await tables.start({
    activities: {
      changeRoute: async (request) => {
        if (request.options.transport === 'kafka') return { next: null, prepared: PREPARED };
        return request.step === 'preparing' ? nextOf(request) : untilCancelled();
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal('configure', DIRECT);
  await table.until('draining', ({ running }) => running.join() === 'load:main,configure');
  await table.handle.signal('configure', { transport: 'kafka' });
  await table.until('streaming', (status) => isStreaming(status) && status.routeChange === null);
});

it('a removal in the middle of a change waits until its step has ended', async () => {
  let inHand = 0;
  const table = await tables.start({
    activities: {
      changeRoute: async (request) => {
        if (request.step === 'preparing') return nextOf(request);
        inHand += 1;
        return untilCancelled().finally(() => (inHand -= 1));
      },
      removeTable: async () => {
        expect(inHand).toBe(0);
      },
    },
  });
  await table.until('streaming', isStreaming);
  await table.handle.signal('configure', DIRECT);
  await waitFor(() => Promise.resolve(inHand === 1), { deadlineMs: 20_000, what: 'the change' });
  await table.handle.signal('remove', {});
  expect(await table.handle.result()).toMatchObject({ phase: 'removed', routeChange: null });
});

async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 500);
  try {
    return await context.cancelled;
  } finally {
    clearInterval(beat);
  }
}
