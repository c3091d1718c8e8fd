import { describe, expect, it } from 'vitest';
import { composeTable, type KnownTable } from '../../src/control/compose-table.js';
import type { StageBacklog, TableBacklog } from '../../src/control/backlog.js';
import { whatItWaitsFor } from '../../src/cli/removal-wait.js';
import { retriedFor, type PendingTask } from '../../src/control/describe-table.js';
import type { SliceProgress } from '../../src/domain/receipt.js';
import { replaySpecs } from '../../src/domain/replay.js';
import type { Replay } from '../../workflows/changes.js';
import type { TableStatus } from '../../workflows/messages.js';

const IDLE: StageBacklog = {
  waiting: 0,
  newest: 0n,
  done: 0n,
  batch: 1,
  errors: null,
  rows: 10,
  bytesPerRow: 1,
  copy: null,
  namedFor: null,
  lastBatchAt: 0,
};

const TABLE: TableBacklog['table'] = {
  id: '1',
  pipeline: 'default',
  name: { schema: 'public', table: 'orders' },
  relation: '1',
  generation: 1,
  shape: 1,
  columns: [],
  key: ['id'],
  fingerprint: '',
  route: {
    capture: { kind: 'outbox' },
    transport: { kind: 'kafka', topic: 't', partitions: 1, format: 'json', payload: 'row' },
    loaders: [
      { kind: 'worker', name: 'main', target: { database: 'd', table: 'orders' } },
      { kind: 'worker', name: 'copy-two', target: { database: 'd', table: 'orders_2' } },
    ],
  },
};

const PROGRESS: SliceProgress = { stage: 'publish', rows: 0, batches: 0, moved: '', waiting: 0, lagSeconds: 0 };

function task(id: string, more: Partial<PendingTask> = {}): PendingTask {
  return { task: id, attempt: 1, failure: undefined, alive: false, heardAgo: null, progress: undefined, ...more };
}

function view(
  stages: Readonly<Record<string, Partial<StageBacklog>>>,
  pending: readonly PendingTask[] = [],
  status?: Partial<TableStatus>,
) {
  const known = Object.entries(stages).map(([id, stage]) => [id, { ...IDLE, ...stage }] as const);
  const table: KnownTable = {
    title: 'public.orders',
    workflowId: 'replicate/default/public.orders',
    backlog: { table: TABLE, stages: Object.fromEntries(known), outbox: null, quarantined: 0 },
    description: {
      running: true,
      ended: undefined,
      phase: 'streaming',
      failureKind: undefined,
      runId: 'r',
      namespace: 'default',
      taskQueue: 'pg2click/1',
      pending,
    },
    status: status as TableStatus | undefined,
    url: null,
  };
  return composeTable(table);
}

it('stages come in the order in which a row meets them, whatever there is of them', () => {
  const { stages } = view({ 'load:main': {}, publish: {}, 'load:copy-two': {} }, [task('load:main')]);
  expect(stages.map(({ id, waitingIn, running }) => [id, waitingIn, running])).toEqual([
    ['publish', 'the outbox', false],
    ['load:main', 'Kafka', true],
    ['load:copy-two', 'Kafka', false],
  ]);
});

describe('a replay into a table of its own', () => {
  const replay: Replay = {
    stage: 'replay:1',
    stages: replaySpecs('replay:1', true),
    start: { 0: '0' },
    end: null,
    loader: 'replay-1',
    target: 'd.fresh',
    requestId: 'r',
    at: '2026-01-01T00:00:00.000Z',
    status: 'running',
    endedAt: null,
  };
  const rowsOf = (its: Replay, pending: readonly PendingTask[] = []) =>
    view({}, pending, { parks: [], stages: {}, replays: [its] }).replays.map(({ rows }) => rows);

  it('counts the rows of its copy while it runs, and once it is done', () => {
    const copying = task('copy:replay-1', { progress: { ...PROGRESS, stage: 'copy:replay-1', rows: 7 } });
    expect(rowsOf(replay, [copying])).toEqual([7]);
    expect(rowsOf({ ...replay, copied: 20 })).toEqual([20]);
  });
});

describe('the lag', () => {
  it.each<[string, Partial<StageBacklog>, Partial<PendingTask>, number | null]>([
    ['is 0 where nothing waits', {}, {}, 0],
    ['is not known where what waits is not', { waiting: null }, {}, null],
    ['is not known while an attempt has just begun, however healthy it looks', { waiting: 1 }, { alive: true }, null],
    ['is the age of the batch in hand where no slice says more', { waiting: 1, namedFor: 45 }, {}, 45],
    [
      'is what the slice has seen where that is older',
      { waiting: 9, namedFor: 1 },
      { alive: true, heardAgo: 1, progress: { ...PROGRESS, waiting: 9, lagSeconds: 20 } },
      20,
    ],
    [
      'of what came since a heartbeat that knew of nothing is at most the age of that heartbeat',
      { waiting: 1 },
      { alive: true, heardAgo: 2, progress: PROGRESS },
      2,
    ],
  ])('%s', (_, backlog, pending, lag) => {
    const shown = view({ publish: backlog, 'load:main': {} }, [task('publish', pending)]);
    expect(shown.stages[0]?.lagSeconds).toBe(lag);
    expect(shown.lagSeconds).toBe(lag);
  });
});

describe('the last failure of a slice', () => {
  const failure = { kind: 'BrokerUnavailable', message: 'm', remedy: 'r', worker: null } as const;
  const lost = { ...failure, kind: 'WorkerLost' } as const;
  it.each<[string, Partial<StageBacklog>, Partial<PendingTask>, boolean]>([
    ['stands while the next attempt waits for its turn', {}, { failure }, true],
    ['stands while the next attempt has reported nothing', {}, { failure, alive: true }, true],
    [
      'stands while the batch that met it is in hand',
      { waiting: 1, namedFor: 9 },
      { failure, alive: true, progress: PROGRESS },
      true,
    ],
    [
      'is over once a batch was confirmed',
      { namedFor: 1 },
      { failure, alive: true, progress: { ...PROGRESS, batches: 1 } },
      false,
    ],
    ['is over once the next attempt found nothing in hand', {}, { failure, alive: true, progress: PROGRESS }, false],
    [
      'is over with the first heartbeat where a worker was lost',
      { namedFor: 9 },
      { failure: lost, alive: true },
      false,
    ],
  ])('%s', (_, backlog, pending, stands) => {
    const shown = view({ publish: backlog }, [task('publish', { attempt: 2, ...pending })]);
    expect(shown.failure !== null).toBe(stands);
  });
});

describe('what a command says of an attempt before the one that runs', () => {
  const failure = {
    kind: 'WorkerLost',
    message: 'The worker was not heard of.',
    remedy: 'Wait.',
    worker: null,
  } as const;

  it('is nothing once a worker was heard of in the one that runs', () => {
    expect(retriedFor(task('resync:1', { attempt: 2, failure, alive: true, heardAgo: 1 }))).toBeUndefined();
    expect(retriedFor(task('resync:1', { attempt: 2, failure }))).toEqual(failure);
  });

  it('does not call a worker silent that was not heard of yet', () => {
    const waiting = (heardAgo: number | null) => whatItWaitsFor([task('load:main', { heardAgo })], true);
    expect(waiting(null)).toBe('waiting for load:main to stop');
    expect(waiting(3)).toBe('waiting for load:main to stop');
    expect(waiting(20)).toBe(
      'waiting for load:main (its worker is silent for 20 s) to stop: a worker that is silent counts as dead within a minute',
    );
  });
});

it('a change that was refused is shown until the next one is accepted', () => {
  const changed = {
    requestId: 'r',
    task: 'startBackfill',
    at: '2026-01-01T00:00:00.000Z',
    what: 'backfill, from 10 to 20',
    message: 'No.',
    failure: { kind: 'Misconfigured', message: 'No.', remedy: 'Correct it.' },
  } as const;
  const status = { schema: 'public', table: 'orders', parks: [], running: [], paused: null };
  const { what, at, failure } = changed;
  expect(view({}, [], { ...status, changed }).refused).toEqual({ what, at, ...failure });
  const change = { requestId: 's', at: '2026-01-02T00:00:00.000Z', task: 'startBackfill', terms: {} } as const;
  const pending = view({}, [], { ...status, changed, change });
  expect(pending.refused).toBeNull();
  expect(pending.change).toMatchObject({ what: 'backfill, the whole table', waits: false });
  const pause = { since: '2026-01-02T00:00:00.000Z', reason: null };
  const held = view({}, [], { ...status, change, paused: pause }).change;
  expect(held).toMatchObject({ waits: true, withdrawal: 'pg2click backfill public.orders --cancel' });
});

it('a workflow whose task fails again and again stands still, which is said with the way out', () => {
  const known = {
    title: 'public.orders',
    workflowId: 'replicate/default/public.orders',
    backlog: undefined,
    status: undefined,
    url: null,
  };
  const description = { running: true, ended: undefined, phase: 'streaming', failureKind: undefined } as const;
  const of = (failingTask: number | undefined) =>
    composeTable({
      ...known,
      description: { ...description, runId: '', namespace: 'shop', taskQueue: '', pending: [], failingTask },
    });
  expect(of(undefined).failure).toBeNull();
  expect(of(7).failure).toMatchObject({
    kind: 'Unexpected',
    message: expect.stringContaining('failed its task 7 times') as string,
    remedy: expect.stringContaining(
      "terminate --workflow-id 'replicate/default/public.orders' --namespace shop, then pg2click add public.orders",
    ) as string,
    attempt: 7,
  });
});
