import { describe, expect, it } from 'vitest';
import { copyStage, loadStage, stagesOf, FIRST_ROUTE } from '../../src/domain/route.js';
import type { ReplayReceipt } from '../../src/domain/receipt.js';
import { parseBound, replaySpecs } from '../../src/domain/replay.js';
import { priorityOf } from '../../workflows/backfills.js';
import { mustWait } from '../../workflows/changes.js';
import { dueKept, nextDrop } from '../../workflows/kept-tables.js';
import { type Action, handleRequest, readRequest } from '../../workflows/request.js';
import { phaseOf, reduce, type TableState } from '../../workflows/table-state.js';
import { wantedTasks } from '../../workflows/wanted-tasks.js';
import {
  after,
  copied,
  LATER,
  parked,
  PREPARED,
  prepared,
  removeRequested,
  stumbled,
} from '../support/table-events.js';

const streaming = after(prepared, copied);

function ask(state: TableState, action: Action, message: unknown = {}): ReturnType<typeof handleRequest> {
  const request = readRequest(action, message);
  if (typeof request === 'string') throw new Error(request);
  return handleRequest(state, request, LATER);
}

function loaders(...names: readonly string[]) {
  const stages = stagesOf({ ...FIRST_ROUTE, loaders: names.map((name) => ({ name })) });
  return { prepared: { ...PREPARED, stages }, dropped: [], kept: [] };
}

function changed(state: TableState, ...names: readonly string[]): TableState {
  const task = state.change?.task === 'removeLoader' ? 'removeLoader' : 'addLoader';
  return reduce(state, { type: 'loadersChanged', task, at: LATER, receipt: loaders(...names) });
}

const two = changed(ask(streaming, 'addLoader', { name: 'eu' }).state, 'main', 'eu');

const REPLAY: ReplayReceipt = {
  stage: 'replay:1',
  stages: replaySpecs('replay:1', true),
  start: { 0: '0' },
  end: null,
  loader: 'main',
  target: 'd.fresh',
};
const replaying = reduce(ask(streaming, 'replay', { from: 'beginning', into: 'fresh' }).state, {
  type: 'replayStarted',
  at: LATER,
  receipt: REPLAY,
});

describe('a loader', () => {
  it('is added beside the stages that run, and then copies and loads', () => {
    const { state, answer } = ask(streaming, 'addLoader', { name: 'eu', server: 'eu' });
    expect(answer).toMatchObject({ accepted: true, changed: true });
    expect(state.change).toMatchObject({ task: 'addLoader', loader: { name: 'eu', connection: 'eu' } });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'addLoader']);
    const done = changed(state, 'main', 'eu');
    expect(wantedTasks(done)).toEqual([copyStage('eu'), 'publish', 'load:main', loadStage('eu')]);
    expect(done.changed).toMatchObject({ failure: null, message: 'Loader eu is added, and copies the table.' });
    // The table goes on as it was: the copy of a loader is not that of the table.
    expect(phaseOf(done)).toBe('streaming');
    const receipt = { rows: 1, bytes: 1, seconds: 1, position: '9' };
    const copiedToo = reduce(done, { type: 'copied', stage: 'copy:eu', receipt });
    expect(wantedTasks(copiedToo)).toEqual(['publish', 'load:main', 'load:eu']);
  });

  it('that is refused leaves the table as it was, and says why', () => {
    const { state } = ask(streaming, 'addLoader', { name: 'eu', requestId: 'r' });
    const failure = {
      kind: 'TargetTaken',
      message: 'Loader main already writes to d.t.',
      remedy: 'Name another.',
    } as const;
    const refused = reduce(state, { type: 'failed', at: LATER, where: 'addLoader', failure, parked: true });
    expect(refused.parks).toEqual([]);
    expect(phaseOf(refused)).toBe('streaming');
    expect(wantedTasks(refused)).toEqual(['publish', 'load:main']);
    expect(refused.changed).toMatchObject({ requestId: 'r', failure: { kind: 'TargetTaken' } });
  });

  it('is paused and resumed without the others, its parks too', () => {
    const { state } = ask(two, 'pauseLoader', { name: 'eu', reason: 'upgrade' });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main']);
    expect(state.loaderPauses).toEqual({ eu: { since: LATER, reason: 'upgrade' } });
    expect(ask(state, 'pauseLoader', { name: 'eu' }).answer).toMatchObject({ accepted: true, changed: false });
    // The pause of the table is another one.
    expect(wantedTasks(ask(state, 'resume').state)).toEqual(['publish', 'load:main']);
    const both = reduce(state, parked('load:eu'));
    expect(wantedTasks(ask(both, 'resumeLoader', { name: 'eu' }).state)).toContain('load:eu');
  });

  it('is removed once its stages have stopped, and its park goes with it', () => {
    const { state } = ask(reduce(two, parked('load:eu')), 'removeLoader', { name: 'eu', dropTarget: true });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'removeLoader']);
    expect(mustWait(state, 'removeLoader', ['publish', 'load:eu'])).toBe(true);
    expect(mustWait(state, 'removeLoader', ['publish', 'load:main'])).toBe(false);
    const gone = changed(state, 'main');
    expect(phaseOf(gone)).toBe('streaming');
    expect(wantedTasks(gone)).toEqual(['publish', 'load:main']);
  });

  it('that is not added yet is withdrawn by its removal, which waits for the attempt that runs', () => {
    const adding = ask(streaming, 'addLoader', { name: 'eu', requestId: 'add' }).state;
    const retried = reduce(adding, stumbled('addLoader', 'LoginRefused'));
    const { state, answer } = ask(retried, 'removeLoader', { name: 'eu', requestId: 'take back' });
    expect(answer).toMatchObject({
      accepted: true,
      changed: true,
      message: 'Loader eu is not added yet: adding it is given up.',
    });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'removeLoader']);
    expect(mustWait(state, 'removeLoader', ['publish', 'addLoader'])).toBe(true);
    const withdrawn = changed(state, 'main');
    expect(withdrawn).toMatchObject({ change: null, lastTransientFailure: null });
    expect(withdrawn.changed).toMatchObject({
      requestId: 'take back',
      failure: null,
      message: 'Loader eu is not added: the request is withdrawn. An empty ClickHouse table may be left of it.',
    });
    expect(wantedTasks(withdrawn)).toEqual(['publish', 'load:main']);
  });

  it('whose withdrawal finds it added is removed all the same', () => {
    const adding = ask(streaming, 'addLoader', { name: 'eu' }).state;
    const { state } = ask(adding, 'removeLoader', { name: 'eu' });
    // Its attempt had written to the ledger when it was cancelled.
    const receipt = loaders('main', 'eu');
    const added = reduce(state, { type: 'loadersChanged', task: 'addLoader', at: LATER, receipt });
    expect(added.change).toMatchObject({ task: 'removeLoader', name: 'eu' });
    expect(wantedTasks(added)).toEqual(['publish', 'load:main', 'removeLoader']);
    expect(wantedTasks(changed(added, 'main'))).toEqual(['publish', 'load:main']);
  });

  it.each<[string, TableState, Action, object, RegExp]>([
    ['that is there already', two, 'addLoader', { name: 'eu' }, /has a loader eu already/u],
    ['that is not there', two, 'pauseLoader', { name: 'us' }, /no loader us: it has main, eu/u],
    ['that is the last one', streaming, 'removeLoader', { name: 'main' }, /the only loader/u],
    ['of a table that is not prepared', after(), 'addLoader', { name: 'eu' }, /not prepared yet/u],
    [
      'of a table that is being removed',
      after(prepared, removeRequested()),
      'addLoader',
      { name: 'eu' },
      /being removed/u,
    ],
    [
      'while another change is being made',
      ask(streaming, 'addLoader', { name: 'eu' }).state,
      'addLoader',
      { name: 'us' },
      /Another change \(addLoader\)/u,
    ],
    [
      'while another one is being added',
      ask(two, 'addLoader', { name: 'us' }).state,
      'removeLoader',
      { name: 'eu' },
      /Another change \(addLoader\)/u,
    ],
  ])('%s is refused', (_, state, action, message, why) => {
    const { state: next, answer } = ask(state, action, message);
    expect(answer).toMatchObject({ accepted: false, changed: false });
    expect(answer.message).toMatch(why);
    expect(wantedTasks(next)).toEqual(wantedTasks(state));
  });
});

describe('a replay', () => {
  it('runs its copy and itself beside the table, and ends by itself', () => {
    expect(wantedTasks(replaying)).toEqual(['publish', 'load:main', 'copy:replay-1', 'replay:1']);
    expect(phaseOf(replaying)).toBe('streaming');
    const receipt = { rows: 1, bytes: 1, seconds: 1, position: '9' };
    const half = reduce(replaying, { type: 'copied', stage: 'copy:replay-1', receipt });
    expect(wantedTasks(half)).toEqual(['publish', 'load:main', 'replay:1']);
    expect(half.replays, 'rows of its copy are its own').toMatchObject([{ copied: 1 }]);
    const done = reduce(half, { type: 'replayFinished', at: LATER, stage: 'replay:1' });
    expect(wantedTasks(done)).toEqual(['publish', 'load:main']);
    expect(done.replays).toMatchObject([{ stage: 'replay:1', status: 'finished', endedAt: LATER }]);
  });

  it('is cancelled once it has stopped', () => {
    const { state } = ask(replaying, 'cancelReplay');
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'cancelReplay']);
    expect(mustWait(state, 'cancelReplay', ['copy:replay-1'])).toBe(true);
    const done = reduce(state, { type: 'replayCancelled', at: LATER });
    expect(wantedTasks(done)).toEqual(['publish', 'load:main']);
    expect(done.replays).toMatchObject([{ status: 'cancelled' }]);
    expect(ask(done, 'cancelReplay').answer).toMatchObject({ accepted: false, message: 'No replay runs.' });
  });

  it.each<[object, RegExp]>([
    [{}, /from must be beginning/u],
    [{ from: 'yesterday' }, /from must be beginning/u],
    [{ from: 'beginning', to: 'never' }, /to must be/u],
    [{ from: 'beginning', topicOnly: true }, /topicOnly goes with into/u],
    [{ from: 'beginning', loader: 'A B' }, /lower-case letters/u],
  ])('%j makes no sense', (message, why) => {
    expect(readRequest('replay', message)).toMatch(why);
  });

  it.each([
    ['beginning', { kind: 'beginning' }],
    ['0120', { kind: 'offsets', offsets: { '*': '120' } }],
    ['0:120,11:98', { kind: 'offsets', offsets: { 0: '120', 11: '98' } }],
    ['2026-01-31T12:00:00+02:00', { kind: 'time', at: '2026-01-31T10:00:00.000Z' }],
    ['2026-13-31T12:00:00Z', undefined],
    ['0:1,', undefined],
    ['2026-01-31', undefined],
  ])('%s is read', (text, bound) => {
    expect(parseBound(text)).toEqual(bound);
  });
});

describe('rows in quarantine', () => {
  it('are retried or dropped beside the stages that run, and how many are left is known then', () => {
    const { state, answer } = ask(streaming, 'retryQuarantined');
    expect(answer).toMatchObject({ accepted: true, message: 'Inserting all rows of the quarantine again.' });
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'retryQuarantined']);
    const receipt = { retried: 2, refused: 1, dropped: 0, open: 3 };
    const done = reduce(state, { type: 'quarantineChanged', at: LATER, receipt });
    expect(wantedTasks(done)).toEqual(['publish', 'load:main']);
    expect(done).toMatchObject({
      quarantined: 3,
      changed: {
        failure: null,
        message: '2 rows inserted again. ClickHouse refuses 1 row as before. 3 rows still in quarantine.',
      },
    });
    const dropping = ask(done, 'dropQuarantined', { ids: ['12', '13'] });
    expect(dropping.state.change).toMatchObject({ task: 'dropQuarantined', ids: ['12', '13'] });
    expect(ask(dropping.state, 'retryQuarantined').answer).toMatchObject({ accepted: false });
  });

  it('are counted by the slices that say so', () => {
    const receipt = (quarantined?: number) => ({
      stage: 'load:main',
      batches: 1,
      rows: 1,
      bytes: 1,
      checkpoint: { batch: 1, highest: '1' },
      moved: '',
      waiting: 0,
      lagSeconds: 0,
      ...(quarantined === undefined ? {} : { quarantined }),
    });
    const ended = (state: TableState, quarantined?: number): TableState =>
      reduce(state, { type: 'sliceEnded', at: LATER, receipt: receipt(quarantined) });
    expect(ended(streaming, 0)).not.toHaveProperty('quarantined');
    const two = ended(streaming, 2);
    expect(two.quarantined).toBe(2);
    expect(ended(two).quarantined).toBe(2);
    expect(ended(two, 0).quarantined).toBe(0);
  });
});

describe('a resync', () => {
  const receipt = { stage: 'copy:resync-1', loader: 'main', target: 'd.t' };
  const slice = (finished: boolean) => ({ rows: 7, bytes: 1, seconds: 1, position: '9', finished });
  const asked = ask(streaming, 'resync', { keep: '7d', requestId: 'night' });
  const filling = reduce(asked.state, { type: 'backfillStarted', at: LATER, receipt });
  const ended = (state: TableState): TableState =>
    reduce(state, { type: 'copied', at: LATER, stage: 'copy:resync-1', receipt: slice(true) });

  it('fills its table beside the stages that run, slice after slice, until it has ended', () => {
    expect(wantedTasks(asked.state)).toEqual(['publish', 'load:main', 'startBackfill']);
    expect(wantedTasks(filling)).toEqual(['publish', 'load:main', 'copy:resync-1']);
    const half = reduce(filling, { type: 'copied', at: LATER, stage: 'copy:resync-1', receipt: slice(false) });
    expect(wantedTasks(half)).toEqual(['publish', 'load:main', 'copy:resync-1']);
    expect(wantedTasks(ended(half))).toEqual(['publish', 'load:main']);
    expect(ended(half).backfills).toEqual([
      expect.objectContaining({ stage: 'copy:resync-1', status: 'finished', terms: { resync: true, keep: '7d' } }),
    ]);
  });

  it('is begun once for one request', () => {
    expect(ask(filling, 'resync', { requestId: 'night' }).answer).toMatchObject({ accepted: true, changed: false });
  });

  it.each<[Action, object]>([
    ['resync', {}],
    ['backfill', {}],
    ['replay', { from: 'beginning' }],
    ['removeLoader', { name: 'main' }],
    ['retryQuarantined', {}],
    ['configure', { transport: 'direct' }],
  ])('makes %s wait, and may be cancelled', (action, message) => {
    expect(ask(filling, action, message).answer).toMatchObject({
      accepted: false,
      message: expect.stringContaining('copy:resync-1') as string,
    });
    expect(ask(ended(filling), action, message).answer.message).not.toContain('copy:resync-1');
    const { state } = ask(filling, 'cancelResync');
    expect(wantedTasks(state)).toEqual(['publish', 'load:main', 'cancelBackfill']);
    const cancelled = reduce(state, { type: 'backfillCancelled', at: LATER });
    expect(wantedTasks(cancelled)).toEqual(['publish', 'load:main']);
    expect(cancelled.backfills).toEqual([expect.objectContaining({ status: 'cancelled' })]);
  });

  it('waits for backfills and replays', () => {
    expect(ask(replaying, 'resync').answer).toMatchObject({ accepted: false });
    expect(ask(streaming, 'cancelResync').answer).toMatchObject({ accepted: false, message: 'No resync runs.' });
  });

  it('holds a copy that is made again: it would hide rows that the resync brings', () => {
    const again = { ...filling, copied: null };
    expect(wantedTasks(again)).not.toContain('copy');
    expect(wantedTasks(ended(again))).toContain('copy');
  });

  it('stops with its loader', () => {
    expect(wantedTasks(ask(filling, 'pauseLoader', { name: 'main' }).state)).toEqual(['publish']);
  });
});

describe('an old table that a resync has kept', () => {
  const [due, later] = [
    { name: 'd.t__r1_old', until: LATER },
    { name: 'd.t__r2_old', until: '2027-01-01T00:00:00.000Z' },
  ];
  const keeping: TableState = { ...streaming, kept: [due, later] };
  const at = Date.parse(LATER);

  it('is due when its time is over, and not while the table is paused or changes', () => {
    expect(nextDrop(streaming)).toBeUndefined();
    expect(nextDrop(keeping)).toBe(at);
    expect(dueKept(keeping, at - 1)).toEqual([]);
    expect(dueKept(keeping, at)).toEqual([due.name]);
    expect(dueKept(ask(keeping, 'pause').state, at)).toEqual([]);
    expect(dueKept(ask(keeping, 'backfill').state, at)).toEqual([]);
    expect(dueKept({ ...keeping, kept: [{ ...due, until: null }] }, at)).toEqual([]);
  });

  it('is dropped or kept longer when somebody asks, by its name where there are several', () => {
    expect(ask(keeping, 'dropKept').answer.message).toBe('Say which one: d.t__r1_old, d.t__r2_old are kept.');
    expect(ask(keeping, 'dropKept', { name: 't' }).answer.message).toContain('t is not kept');
    expect(ask(streaming, 'dropKept').answer.message).toBe('No old table of a resync is kept.');
    const dropping = ask(keeping, 'dropKept', { name: 't__r2_old' }).state;
    expect(dropping.change).toMatchObject({ task: 'dropKept', names: [later.name] });
    const dropped = reduce(dropping, { type: 'keptChanged', at: LATER, receipt: { kept: [due] } });
    expect(dropped).toMatchObject({ kept: [due], change: null, changed: { message: 'd.t__r2_old is dropped.' } });
    const { state } = ask(dropped, 'keepLonger', { keep: '2h' });
    expect(state.change).toMatchObject({ task: 'keepLonger', name: due.name, until: '2026-01-01T02:01:00.000Z' });
    expect(ask(dropped, 'keepLonger', { keep: 'forever' }).state.change).toMatchObject({ until: null });
  });

  it('is known to a workflow that was started again', () => {
    const again = reduce(after(), { type: 'prepared', receipt: { ...PREPARED, kept: [later] } });
    expect(nextDrop(again)).toBe(Date.parse(later.until));
  });

  it('that cannot be dropped is tried again in an hour, and the table goes on', () => {
    const change = { task: 'dropKept', requestId: 'r', at: LATER, names: [due.name] } as const;
    const dropping = reduce(keeping, { type: 'changeRequested', change });
    const refused = reduce(dropping, parked('dropKept', 'Unauthorized', LATER));
    expect(phaseOf(refused)).toBe('streaming');
    expect(refused.changed?.failure?.kind).toBe('Unauthorized');
    expect(nextDrop(refused)).toBe(at + 3_600_000);
    expect(dueKept(refused, at)).toEqual([]);
  });
});

describe('the priority of copies', () => {
  it('is that of the table, or of the one copy, and is changed for all of them', () => {
    const receipt = { stage: 'backfill:1', loader: 'main', target: 'd.t' };
    expect(priorityOf(streaming, 'copy')).toBe('normal');
    const asked = ask(streaming, 'backfill', { priority: 'low' }).state;
    const running = reduce(asked, { type: 'backfillStarted', at: LATER, receipt });
    expect([priorityOf(running, 'backfill:1'), priorityOf(running, 'copy')]).toEqual(['low', 'normal']);
    const { state, answer } = ask(running, 'prioritize', { priority: 'high' });
    expect(answer.message).toBe('Copies of the table have high priority.');
    expect([priorityOf(state, 'backfill:1'), priorityOf(state, 'copy')]).toEqual(['high', 'high']);
  });
});

it.each<[Action, unknown, RegExp]>([
  ['retryQuarantined', { ids: [] }, /ids must be a list/u],
  ['retryQuarantined', { ids: [12] }, /ids must be a list/u],
  ['dropQuarantined', { ids: ['1; drop'] }, /ids must be a list/u],
  ['dropQuarantined', { id: '1' }, /no field "id"/u],
  ['addLoader', {}, /name must be there/u],
  ['addLoader', { name: 'main' }, /main is the first loader/u],
  ['addLoader', { name: 'replay-1' }, /replay-N are replays/u],
  ['addLoader', { name: 'EU' }, /lower-case/u],
  ['addLoader', { name: 'eu', server: 'CH_URL_EU' }, /server must be/u],
  ['removeLoader', { name: 'eu', droptarget: true }, /no field "droptarget"/u],
  ['pauseLoader', { name: 'eu', reason: 7 }, /reason/u],
  ['addLoader', { name: 'resync-1' }, /resync-N are resyncs/u],
  ['resync', { keep: '7 days' }, /keep must be a time such as/u],
  ['resync', { keep: '9999d' }, /keep must be a time such as/u],
  ['keepLonger', {}, /keep must be a time such as/u],
  ['dropKept', { name: '' }, /name must be the name of a table/u],
  ['backfill', { priority: 'urgent' }, /priority must be high, normal, low/u],
  ['prioritize', {}, /priority must be high, normal, low/u],
  ['resync', { loader: 'EU' }, /lower-case/u],
  ['resync', { from: 1 }, /no field "from"/u],
  ['cancelResync', { resync: 1 }, /no field "resync"/u],
])('%s %j is not understood', (action, message, problem) => {
  expect(readRequest(action, message)).toMatch(problem);
});

it('a request that is repeated adds one loader', () => {
  const first = ask(streaming, 'addLoader', { name: 'eu', requestId: 'same' });
  expect(ask(first.state, 'addLoader', { name: 'eu', requestId: 'same' }).answer.changed).toBe(false);
});

describe('a change of a paused table', () => {
  const paused = reduce(streaming, { type: 'paused', at: LATER, reason: null });
  const waiting = (action: Action, message: unknown) => ask(paused, action, message);

  it.each<[Action, object, Action]>([
    ['backfill', { from: 1, to: 10 }, 'cancelBackfill'],
    ['resync', {}, 'cancelResync'],
    ['replay', { from: 'beginning' }, 'cancelReplay'],
  ])('waits for resume, and %s is withdrawn while nothing of it has begun', (action, message, cancel) => {
    const { state, answer } = waiting(action, message);
    expect(answer).toMatchObject({
      accepted: true,
      message: expect.stringMatching(/The table is paused: it begins after resume\.$/u) as string,
    });
    expect(ask(state, 'dropQuarantined').answer).toMatchObject({
      accepted: false,
      message: expect.stringMatching(
        new RegExp(`waits, because the table is paused: resume the table, or send ${cancel} to withdraw it\\.$`, 'u'),
      ) as string,
    });
    const withdrawn = ask(state, cancel, { requestId: 'take back' });
    expect(withdrawn.answer).toMatchObject({ accepted: true, changed: true });
    expect(withdrawn.state).toMatchObject({ change: null, changed: { requestId: 'take back', failure: null } });
    expect(wantedTasks(ask(withdrawn.state, 'resume').state)).toEqual(['publish', 'load:main']);
  });

  it('that has begun is not withdrawn: an activity of it may have done something', () => {
    const begun = reduce(waiting('backfill', {}).state, { type: 'changeBegun' });
    const { answer } = ask(begun, 'cancelBackfill');
    expect(answer).toMatchObject({ accepted: false });
    expect(answer.message).toMatch(/waits, because the table is paused: resume the table\.$/u);
    expect(ask(begun, 'resume').state.change).toMatchObject({ task: 'startBackfill' });
  });

  it('is not the one that the cancellation of another one names', () => {
    const { state } = waiting('backfill', {});
    expect(ask(state, 'cancelBackfill', { backfill: 'backfill:1' }).answer).toMatchObject({ accepted: false });
    expect(ask(state, 'cancelResync').answer).toMatchObject({ accepted: false });
  });
});
