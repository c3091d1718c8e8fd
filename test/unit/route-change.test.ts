import { describe, expect, it } from 'vitest';
import type { ChangeReceipt } from '../../src/domain/receipt.js';
import { replaySpecs } from '../../src/domain/replay.js';
import { FIRST_ROUTE, stagesOf, type Route } from '../../src/domain/route.js';
import { describeChange } from '../../src/domain/route-choice.js';
import { changeKindOf, refusalOfChange, type RouteOptions } from '../../src/domain/route-change.js';
import { type Action, handleRequest, readRequest } from '../../workflows/request.js';
import { phaseOf, reduce, type TableEvent, type TableState } from '../../workflows/table-state.js';
import { wantedTasks } from '../../workflows/wanted-tasks.js';
import {
  after,
  AT,
  copied,
  parked,
  paused,
  PREPARED,
  prepared,
  removeRequested,
  resumed,
  sliceEnded,
  stumbled,
} from '../support/table-events.js';
import { withLoaders } from '../support/loader-receipts.js';

const DIRECT: RouteOptions = { transport: 'direct' };
const DIRECT_STAGES = stagesOf({ capture: {}, transport: { kind: 'direct' }, loaders: [{ name: 'main' }] });
const STREAMING = [
  prepared,
  copied,
  sliceEnded('publish', { checkpoint: { batch: 7, highest: '70' } }),
  sliceEnded('load:main'),
];

const asked: TableEvent = { type: 'routeChangeRequested', at: AT, options: DIRECT };
function moved(receipt: ChangeReceipt, options = DIRECT): TableEvent {
  return { type: 'routeChangeMoved', at: AT, options, receipt };
}
const draining = moved({ next: 'draining' });
const switching = moved({ next: 'switching' });
function switched(generation = 1, next: ChangeReceipt['next'] = null): TableEvent {
  return moved({
    next,
    prepared: { ...PREPARED, generation, topic: null, estimatedRows: null, stages: DIRECT_STAGES },
  });
}
const life = (...events: readonly TableEvent[]): TableState => after(...STREAMING, ...events);

describe('a change of the route, in the state of a table,', () => {
  it('stops the stage that reads the capture, then everything, then has the new stages run', () => {
    expect(wantedTasks(life(asked))).toEqual(['publish', 'load:main', 'configure']);
    expect(phaseOf(life(asked))).toBe('configuring');
    expect(wantedTasks(life(asked, draining))).toEqual(['load:main', 'configure']);
    expect(wantedTasks(life(asked, draining, switching))).toEqual(['configure']);
    const done = life(asked, draining, switching, switched());
    expect(wantedTasks(done)).toEqual(['direct:main']);
    expect(phaseOf(done)).toBe('streaming');
    expect(wantedTasks(life(asked, draining, switching, switched(1, 'clearing')))).toEqual(['configure']);
  });

  it('carries the checkpoint of the stage that reads the capture over to its new name, and no other', () => {
    const { stages } = life(asked, draining, switching, switched());
    expect(stages).toEqual({ 'direct:main': expect.objectContaining({ checkpoint: { batch: 7, highest: '70' } }) });
  });

  it('to another generation forgets checkpoints and the first load, and loads again', () => {
    const state = life(asked, draining, switching, switched(2));
    expect(state).toMatchObject({ stages: {}, copied: null, prepared: { estimatedRows: PREPARED.estimatedRows } });
    expect(wantedTasks(state)).toEqual(['copy', 'direct:main']);
    expect(phaseOf(state)).toBe('copying');
  });

  it('waits for the first load, unless that is parked', () => {
    expect(wantedTasks(after(prepared, asked))).toEqual(['copy', 'publish', 'load:main']);
    expect(wantedTasks(after(prepared, asked, parked('copy')))).toEqual(['publish', 'load:main', 'configure']);
  });

  it('that is refused leaves everything, and says why', () => {
    const state = life(asked, moved({ next: null, refused: 'It may not.', prepared: PREPARED }));
    expect(state).toMatchObject({ ignored: { name: 'configure', problem: 'It may not.' }, stages: { publish: {} } });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main']);
  });

  it('that is parked leaves the table to the route it has; resume begins it again', () => {
    const state = life(asked, draining, switching, parked('configure'));
    expect(wantedTasks(state)).toEqual(['publish', 'load:main']);
    expect(phaseOf(state)).toBe('parked');
    expect(wantedTasks(reduce(state, resumed))).toEqual(['publish', 'load:main', 'configure']);
  });

  it('that is replaced by another one does not let the capture be read before that has seen to it', () => {
    const back: TableEvent = { type: 'routeChangeRequested', at: AT, options: { transport: 'kafka' } };
    const state = life(asked, draining, back);
    expect(wantedTasks(state)).toEqual(['load:main', 'configure']);
    // What the first one had done meanwhile counts, and what it wanted next does not.
    const late = reduce(state, switched());
    expect(late).toMatchObject({
      prepared: { topic: null },
      routeChange: { step: 'draining', options: { transport: 'kafka' } },
    });
    expect(wantedTasks(life(asked, parked('configure'), back))).toEqual(['publish', 'load:main', 'configure']);
  });

  it('stands still in a pause, goes on after it, and ends with a removal', () => {
    expect(wantedTasks(life(asked, draining, paused))).toEqual([]);
    expect(wantedTasks(life(asked, draining, paused, resumed))).toEqual(['load:main', 'configure']);
    const leaving = life(asked, draining, removeRequested());
    expect(wantedTasks(leaving)).toEqual(['remove']);
    expect(leaving.routeChange).toBeUndefined();
  });
});

describe('a change of the route, and what goes on without slices,', () => {
  const stages = stagesOf({ ...FIRST_ROUTE, loaders: [{ name: 'main', kind: 'kafka-engine' }] });
  const before = { ...PREPARED, stages };
  const streaming: readonly TableEvent[] = [
    { type: 'prepared', receipt: before },
    copied,
    { type: 'stageStarted', stage: 'load:main' },
  ];
  const stopped: TableEvent = { type: 'stageStopped', stage: 'load:main' };
  const at = (...events: readonly TableEvent[]): TableState => after(...streaming, asked, draining, ...events);

  it('exchanges the route when that is stopped, and not while stopping it is parked', () => {
    expect(wantedTasks(at())).toEqual(['load:main', 'configure']);
    expect(wantedTasks(at(switching))).toEqual(['stop:load:main']);
    expect(wantedTasks(at(switching, parked('stop:load:main')))).toEqual([]);
    expect(wantedTasks(at(switching, stopped))).toEqual(['configure']);
    expect(wantedTasks(at(switching, stopped, moved({ next: 'clearing', prepared: before })))).toEqual(['configure']);
    expect(wantedTasks(at(switching, stopped, moved({ next: null, prepared: before })))).toEqual([
      'publish',
      'load:main',
    ]);
  });

  it('forgets what the new route has no more: its parks, its failures, and that it was stopped', () => {
    const state = at(switching, stumbled('publish'), parked('load:main'), stopped, switched());
    expect(state).toMatchObject({ parks: [], lastTransientFailure: null, stopped: [] });
    expect(wantedTasks(state)).toEqual(['direct:main']);
  });
});

describe('a change of the route, and loaders and replays,', () => {
  const ask = (state: TableState, action: Action, message: object): ReturnType<typeof handleRequest> => {
    const request = readRequest(action, message);
    if (typeof request === 'string') throw new Error(request);
    return handleRequest(state, request, AT);
  };
  const addLoader = (state: TableState) => ask(state, 'addLoader', { name: 'eu' });
  const eu: TableEvent = { type: 'loadersChanged', task: 'addLoader', at: AT, receipt: withLoaders('main', 'eu') };
  const replayed = (state: TableState): TableState =>
    reduce(ask(state, 'replay', { from: 'beginning' }).state, {
      type: 'replayStarted',
      at: AT,
      receipt: {
        stage: 'replay:1',
        stages: replaySpecs('replay:1', false),
        start: { 0: '0' },
        end: { 0: '9' },
        loader: 'main',
        target: PREPARED.target,
      },
    });

  it.each([
    ['addLoader', { name: 'eu' }],
    ['removeLoader', { name: 'main' }],
    ['replay', { from: 'beginning' }],
    ['cancelReplay', {}],
  ] as const)('refuse each other: %s', (action, message) => {
    const { answer } = ask(life(asked), action, message);
    expect(answer).toMatchObject({ accepted: false, message: expect.stringMatching(/route is being changed/u) });
  });

  it('refuse each other: a change of loaders that is under way', () => {
    const { state, answer } = ask(addLoader(life()).state, 'configure', DIRECT);
    expect(answer).toMatchObject({ accepted: false, message: expect.stringMatching(/addLoader/u) });
    expect(state.routeChange).toBeUndefined();
  });

  it('refuse each other: a replay that runs, until it has ended', () => {
    const running = replayed(life());
    expect(ask(running, 'configure', DIRECT).answer).toMatchObject({
      accepted: false,
      message: expect.stringMatching(/replay:1 reads the topic/u),
    });
    const ended = reduce(running, { type: 'replayFinished', at: AT, stage: 'replay:1' });
    expect(ask(ended, 'configure', DIRECT).answer.accepted).toBe(true);
  });

  it('leave replays that have ended as they were, in another generation too', () => {
    const ended = [
      sliceEnded('replay:1', { rows: 5 }),
      { type: 'replayFinished', at: AT, stage: 'replay:1' },
      asked,
      draining,
      switching,
    ] as const;
    const before = replayed(life());
    for (const generation of [1, 2]) {
      const state = [...ended, switched(generation)].reduce(reduce, before);
      expect(state).toMatchObject({ replays: [{ status: 'finished' }], stages: { 'replay:1': { rows: 5 } } });
    }
  });

  it('wait for the copy of a loader that was added, unless that loader is paused', () => {
    const copying = ask(reduce(addLoader(life()).state, eu), 'configure', DIRECT).state;
    expect(wantedTasks(copying)).toEqual(['copy:eu', 'publish', 'load:main', 'load:eu']);
    const isPaused = ask(copying, 'pauseLoader', { name: 'eu' }).state;
    expect(wantedTasks(isPaused)).toEqual(['publish', 'load:main', 'configure']);
    const receipt = { rows: 1, bytes: 1, seconds: 1, position: '9' };
    const copiedToo = reduce(copying, { type: 'copied', stage: 'copy:eu', receipt });
    expect(wantedTasks(copiedToo)).toEqual(['publish', 'load:main', 'load:eu', 'configure']);
    // In another generation every loader copies again.
    const again = moved({ next: null, prepared: { ...withLoaders('main', 'eu').prepared, generation: 2 } });
    expect(wantedTasks([draining, switching, again].reduce(reduce, copiedToo))).toEqual([
      'copy',
      'copy:eu',
      'publish',
      'load:main',
      'load:eu',
    ]);
  });
});

const outbox: Route = {
  capture: { kind: 'outbox', triggerLevel: 'statement' },
  transport: { kind: 'kafka', topic: 't', partitions: 1, format: 'json', payload: 'row' },
  loaders: [{ kind: 'worker', name: 'main', target: { database: 'd', table: 't' } }],
};
const poll: Route = {
  ...outbox,
  capture: { kind: 'poll', appendOnly: true, cursor: 'id' },
  transport: { kind: 'direct' },
};
const notify: Route = { ...poll, capture: { ...poll.capture, kind: 'notify' } };
const wal: Route = { ...outbox, capture: { kind: 'wal' } };
const direct: Route = { ...outbox, transport: { kind: 'direct' } };
const packed: Route = {
  ...outbox,
  transport: { kind: 'kafka', topic: 't', partitions: 1, format: 'packed', payload: 'row' },
};

it.each([
  [outbox, direct, 'outbox, kafka (json, row), worker, replacing -> outbox, direct, worker, replacing'],
  [notify, { ...notify, capture: { ...notify.capture, intervalMs: 250 } }, '--interval the default -> 250 ms'],
  [
    { ...notify, capture: { ...notify.capture, channel: 'new_data', intervalMs: 500 } },
    { ...notify, capture: { ...notify.capture, channel: 'rows', intervalMs: 250 } },
    '--channel new_data -> rows, --interval 500 ms -> 250 ms',
  ],
] as const)('a change is described by what differs: %#', (before, after, text) => {
  expect(describeChange(before, after)).toBe(text);
});

describe('from one route to another', () => {
  it.each([
    ['none', outbox, { ...outbox, capture: { triggerLevel: 'statement', kind: 'outbox' } }],
    ['messages', outbox, packed],
    ['to-direct', outbox, direct],
    ['to-kafka', direct, outbox],
    ['wake', poll, notify],
    ['next-generation', poll, outbox],
    ['growing', outbox, poll],
    ['overlap', outbox, wal],
    ['overlap', wal, outbox],
    ['next-generation', poll, wal],
  ] as const)('is %s', (kind, from, to) => expect(changeKindOf(from, to)).toBe(kind));

  const withLoader = (route: Route, loader: object): Route => ({
    ...route,
    loaders: route.loaders.map((each) => ({ ...each, ...loader })),
  });
  it.each([
    ['outbox to poll without a word', direct, poll, {}, /--append-only/u],
    ['outbox to poll, and to another transport', outbox, poll, { appendOnly: true }, /one after the other/u],
    [
      'another engine',
      poll,
      withLoader(poll, { engine: 'merge-tree' }),
      {},
      /engine of a ClickHouse table stays replacing/u,
    ],
    [
      'another topic',
      outbox,
      { ...outbox, transport: { ...packed.transport, topic: 'u' } },
      {},
      /topic of a table stays t/u,
    ],
    [
      'a new generation for a Kafka engine',
      withLoader(poll, { kind: 'kafka-engine' }),
      withLoader(outbox, { kind: 'kafka-engine' }),
      {},
      /Kafka engine would read on/u,
    ],
    [
      'another format for a Kafka engine',
      withLoader(outbox, { kind: 'kafka-engine' }),
      withLoader(
        { ...outbox, transport: { ...packed.transport, format: 'avro' } as Route['transport'] },
        { kind: 'kafka-engine' },
      ),
      {},
      /Kafka engine reads one format, and messages in json are in the topic/u,
    ],
    ['outbox to the WAL, and to another transport', direct, wal, {}, /one after the other/u],
    ['the WAL to poll', wal, { ...poll, transport: wal.transport }, { appendOnly: true }, /outbox first/u],
    ['another cursor', poll, { ...notify, capture: { ...notify.capture, cursor: 'n' } }, {}, /cursor column/u],
  ] as const)('is refused: %s', (_, from, to, options, reason) =>
    expect(refusalOfChange(from, to as Route, options)).toMatch(reason),
  );
  it.each([
    ['poll to outbox with Kafka', poll, outbox, {}],
    ['outbox to poll, said to be append-only', direct, poll, { appendOnly: true }],
    ['another transport, captured from the WAL', wal, { ...wal, transport: { kind: 'direct' } }, {}],
  ] as const)('is taken: %s', (_, from, to, options) => expect(refusalOfChange(from, to, options)).toBeUndefined());
});
