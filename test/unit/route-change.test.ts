import { describe, expect, it } from 'vitest';
import type { ChangeReceipt } from '../../src/domain/receipt.js';
import { stagesOf, type Route } from '../../src/domain/route.js';
import { changeKindOf, refusalOfChange, type RouteOptions } from '../../src/domain/route-change.js';
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
} from '../support/table-events.js';

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

  it('that is parked leaves the table to the route it has; resume begins it anew', () => {
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
const direct: Route = { ...outbox, transport: { kind: 'direct' } };
const packed: Route = {
  ...outbox,
  transport: { kind: 'kafka', topic: 't', partitions: 1, format: 'packed', payload: 'row' },
};

describe('from one route to another', () => {
  it.each([
    ['none', outbox, { ...outbox, capture: { triggerLevel: 'statement', kind: 'outbox' } }],
    ['messages', outbox, packed],
    ['to-direct', outbox, direct],
    ['to-kafka', direct, outbox],
    ['wake', poll, notify],
    ['anew', poll, outbox],
    ['growing', outbox, poll],
  ] as const)('is %s', (kind, from, to) => expect(changeKindOf(from, to)).toBe(kind));

  const withLoader = (route: Route, loader: object): Route => ({
    ...route,
    loaders: route.loaders.map((each) => ({ ...each, ...loader })),
  });
  it.each([
    ['outbox to poll without a word', direct, poll, {}, /--append-only/u],
    ['outbox to poll, and to another transport', outbox, poll, { appendOnly: true }, /capture first/u],
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
    ['another cursor', poll, { ...notify, capture: { ...notify.capture, cursor: 'n' } }, {}, /cursor column/u],
  ] as const)('is refused: %s', (_, from, to, options, reason) =>
    expect(refusalOfChange(from, to as Route, options)).toMatch(reason),
  );
  it.each([
    ['poll to outbox with Kafka', poll, outbox, {}],
    ['outbox to poll, said to be append-only', direct, poll, { appendOnly: true }],
  ] as const)('is taken: %s', (_, from, to, options) => expect(refusalOfChange(from, to, options)).toBeUndefined());
});
