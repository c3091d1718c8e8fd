import { describe, expect, it } from 'vitest';
import {
  lackingOf,
  failureOf,
  HANDLED_LIMIT,
  lagOf,
  type Phase,
  phaseOf,
  reduce,
  type TableEvent,
  type TableState,
  type Task,
} from '../../workflows/table-state.js';
import { NO_TOTALS, totalsOf } from '../../workflows/stage-totals.js';
import { wantedTasks } from '../../workflows/wanted-tasks.js';
import { FIRST_ROUTE, stagesOf } from '../../src/domain/route.js';
import { upgradeState } from '../../workflows/upgrade-state.js';
import {
  after,
  AT,
  COPIED,
  copied,
  LATER,
  parked,
  paused,
  PREPARED,
  prepared,
  removed,
  removeRequested,
  resumed,
  sliceEnded,
  stumbled,
} from '../support/table-events.js';

describe('a table whose slice says that it is to be copied again', () => {
  const again = sliceEnded('publish', { copyAgain: true });

  it('is copied beside its stages, and streams when that is done', () => {
    const state = after(prepared, copied, again);
    expect(phaseOf(state)).toBe('copying');
    expect(wantedTasks(state)).toEqual(['copy', 'publish', 'load:main']);
    expect(phaseOf(reduce(state, copied))).toBe('streaming');
  });

  it('is copied for each of its loaders', () => {
    const stages = stagesOf({
      ...FIRST_ROUTE,
      loaders: [
        { name: 'main', kind: 'worker' },
        { name: 'second', kind: 'worker' },
      ],
    });
    const both: TableEvent = { type: 'prepared', receipt: { ...PREPARED, stages } };
    const second: TableEvent = { type: 'copied', receipt: COPIED, stage: 'copy:second' };
    expect(wantedTasks(after(both, copied, second))).not.toContain('copy:second');
    expect(wantedTasks(after(both, copied, second, again))).toEqual(expect.arrayContaining(['copy', 'copy:second']));
  });
});

describe('a stage that goes on without its slices', () => {
  const stages = stagesOf({ ...FIRST_ROUTE, loaders: [{ name: 'main', kind: 'kafka-engine' }] });
  const engine: TableEvent = { type: 'prepared', receipt: { ...PREPARED, stages } };
  const started: TableEvent = { type: 'stageStarted', stage: 'load:main' };
  const stopped: TableEvent = { type: 'stageStopped', stage: 'load:main' };
  const streaming = [engine, copied, started];

  const lives: readonly [string, readonly TableEvent[], readonly Task[]][] = [
    ['runs', streaming, ['publish', 'load:main']],
    ['is stopped by a pause', [...streaming, paused], ['stop:load:main']],
    ['is stopped once', [...streaming, paused, stopped], []],
    ['goes on when the pause is lifted', [...streaming, paused, stopped, resumed], ['publish', 'load:main']],
    [
      'is stopped again by the next pause',
      [...streaming, paused, stopped, resumed, started, paused],
      ['stop:load:main'],
    ],
    ['is stopped when it parks', [...streaming, parked('load:main')], ['publish', 'stop:load:main']],
    ['goes on where another stage parks', [...streaming, parked('publish')], ['load:main']],
    ['parks in stopping', [...streaming, paused, parked('stop:load:main')], []],
    [
      'is stopped again after that',
      [...streaming, paused, parked('stop:load:main'), resumed, paused],
      ['stop:load:main'],
    ],
    ['is left to the removal', [...streaming, paused, removeRequested()], ['remove']],
    ['is stopped where nobody knows whether it runs', [engine, copied, paused], ['stop:load:main']],
  ];
  it.each(lives)('%s', (_, events, tasks) => {
    expect(wantedTasks(after(...events))).toEqual(tasks);
  });
});

describe('a life', () => {
  const lives: readonly [string, readonly TableEvent[], Phase, readonly Task[]][] = [
    ['new', [], 'preparing', ['prepare']],
    ['prepared', [prepared], 'copying', ['copy', 'publish', 'load:main']],
    ['copied', [prepared, copied], 'streaming', ['publish', 'load:main']],
    [
      'streaming on',
      [prepared, copied, sliceEnded('publish'), sliceEnded('load:main')],
      'streaming',
      ['publish', 'load:main'],
    ],
    ['removal asked for', [prepared, copied, removeRequested()], 'removing', ['remove']],
    ['removal asked for before it was prepared', [removeRequested()], 'removing', ['remove']],
    ['removed', [prepared, copied, removeRequested(), removed], 'removed', []],

    ['paused while preparing', [paused], 'paused', []],
    ['prepared by the activity that a pause was stopping', [paused, prepared], 'paused', []],
    ['resumed after that', [paused, prepared, resumed], 'copying', ['copy', 'publish', 'load:main']],
    ['paused while copying', [prepared, paused], 'paused', []],
    [
      'copied by the activity that a pause was stopping',
      [prepared, paused, copied, resumed],
      'streaming',
      ['publish', 'load:main'],
    ],
    ['paused while streaming', [prepared, copied, paused], 'paused', []],
    ['resumed', [prepared, copied, paused, resumed], 'streaming', ['publish', 'load:main']],
    ['removal asked for while paused', [prepared, copied, paused, removeRequested()], 'removing', ['remove']],
    ['paused while removing', [prepared, copied, removeRequested(), paused], 'removing', ['remove']],

    ['parked while preparing', [parked('prepare')], 'parked', []],
    ['resumed after that', [parked('prepare'), resumed], 'preparing', ['prepare']],
    ['parked in the first load', [prepared, parked('copy')], 'parked', ['publish', 'load:main']],
    ['parked in loading', [prepared, copied, parked('load:main')], 'parked', ['publish']],
    ['parked in publishing', [prepared, copied, parked('publish')], 'parked', ['load:main']],
    ['parked in both', [prepared, copied, parked('publish'), parked('load:main')], 'parked', []],
    [
      'resumed after that',
      [prepared, copied, parked('publish'), parked('load:main'), resumed],
      'streaming',
      ['publish', 'load:main'],
    ],
    ['parked and paused', [prepared, copied, parked('load:main'), paused], 'paused', []],
    ['parked by the slice that a pause was stopping', [prepared, copied, paused, parked('load:main')], 'paused', []],
    [
      'resumed after that',
      [prepared, copied, paused, parked('load:main'), resumed],
      'streaming',
      ['publish', 'load:main'],
    ],
    ['removal asked for while parked', [prepared, parked('copy'), removeRequested()], 'removing', ['remove']],
    [
      'parked by the slice that a removal was stopping',
      [prepared, removeRequested(), parked('load:main')],
      'removing',
      ['remove'],
    ],
    ['parked in removing', [prepared, removeRequested(), parked('remove')], 'parked', []],
    ['resumed after that', [prepared, removeRequested(), parked('remove'), resumed], 'removing', ['remove']],
    ['removal asked for again', [removeRequested(), parked('remove'), removeRequested()], 'removing', ['remove']],

    ['a passing failure', [prepared, copied, stumbled('load:main')], 'streaming', ['publish', 'load:main']],
  ];

  it.each(lives)('%s: is in the right phase, and wants the right tasks', (_, events, phase, tasks) => {
    const state = after(...events);
    expect(phaseOf(state)).toBe(phase);
    expect(wantedTasks(state)).toEqual(tasks);
  });

  it('never throws, whatever event meets whatever state, and stays removed', () => {
    const events: readonly TableEvent[] = [
      prepared,
      copied,
      paused,
      resumed,
      removed,
      removeRequested(true),
      ...['prepare', 'copy', 'publish', 'load:main', 'remove'].flatMap((task) => [parked(task), stumbled(task)]),
      sliceEnded('publish'),
      sliceEnded('load:main'),
      { type: 'continued' },
    ];
    const states: TableState[] = [after()];
    for (const first of events) for (const second of events) states.push(after(first, second));
    for (const state of states)
      for (const event of events) {
        const next = reduce(state, event);
        expect(JSON.parse(JSON.stringify(next))).toEqual(next);
        if (phaseOf(state) === 'removed') expect(wantedTasks(next)).toEqual([]);
        if (next.pause !== null) expect(wantedTasks(next)).toEqual([]);
        for (const park of next.parks) expect(wantedTasks(next)).not.toContain(park.where);
      }
  });
});

describe('what is known', () => {
  it('keeps the receipts of preparing and copying', () => {
    expect(after(prepared, copied)).toMatchObject({ prepared: PREPARED, copied: COPIED });
  });

  it('adds up slices by stage', () => {
    const first = sliceEnded('publish', { rows: 10, bytes: 100, batches: 2, waiting: 5, lagSeconds: 3 });
    const second = sliceEnded('publish', { rows: 1, bytes: 1, batches: 1, waiting: 0, lagSeconds: 0 });
    const state = after(prepared, first, second);
    expect(totalsOf(state, 'publish')).toMatchObject({
      slices: 2,
      rows: 11,
      bytes: 101,
      batches: 3,
      waiting: 0,
      lagSeconds: 0,
      endedAt: LATER,
    });
    expect(totalsOf(state, 'load:main')).toMatchObject({ slices: 0, rows: 0, checkpoint: null, endedAt: null });
  });

  it('knows which search attributes the namespace lacks from the last receipt that says it', () => {
    const lacking = { lackingAttributes: ['Pg2clickPhase'] } as const;
    const copying = { type: 'copied', receipt: { ...COPIED, ...lacking } } as const;
    expect(lackingOf(after(prepared, sliceEnded('publish', lacking)))).toEqual(['Pg2clickPhase']);
    expect(lackingOf(after(prepared, copying))).toEqual(['Pg2clickPhase']);
    expect(after(prepared, copying).copied).toEqual(COPIED);
    expect(lackingOf(after(prepared, copying, sliceEnded('publish')))).toEqual(['Pg2clickPhase']);
    const none = sliceEnded('publish', { lackingAttributes: [] });
    expect(lackingOf(after(prepared, copying, none))).toEqual([]);
    expect(after(prepared, none)).not.toHaveProperty('lackingAttributes');
  });

  it('remembers what moved last through slices that moved nothing', () => {
    const idle = sliceEnded('load:main', { rows: 0, batches: 0, moved: '' });
    expect(after(sliceEnded('load:main', { moved: '0:1..9' }), idle).stages['load:main']).toMatchObject({
      moved: '0:1..9',
      movedAt: LATER,
    });
    expect(after(idle).stages['load:main']).toMatchObject({ moved: '', movedAt: null });
  });

  it('never lets a checkpoint go back', () => {
    const ahead = { batch: 7, highest: '70' };
    const behind = { batch: 3, highest: '30' };
    const told = after(sliceEnded('load:main', { checkpoint: ahead }), sliceEnded('load:main', { checkpoint: behind }));
    expect(told.stages['load:main']?.checkpoint).toEqual(ahead);
    expect(
      reduce(told, sliceEnded('load:main', { checkpoint: { batch: 8, highest: '80' } })).stages['load:main']?.checkpoint
        ?.batch,
    ).toBe(8);
  });

  it('has the lag of the stage that lags more', () => {
    expect(lagOf(after())).toBe(0);
    expect(lagOf(after(sliceEnded('publish', { lagSeconds: 2 }), sliceEnded('load:main', { lagSeconds: 40 })))).toBe(
      40,
    );
  });
});

describe('a failure', () => {
  it('that parks is shown, the oldest first, until it is resumed', () => {
    const state = after(prepared, parked('load:main', 'RowRefused', AT), parked('publish', 'SourceChanged', LATER));
    expect(failureOf(state)).toMatchObject({
      where: 'load:main',
      kind: 'RowRefused',
      since: AT,
      remedy: 'Do something.',
    });
    expect(failureOf(reduce(state, resumed))).toBeNull();
  });

  it('that parks a task again replaces its park', () => {
    const state = after(prepared, parked('load:main', 'RowRefused'), parked('load:main', 'TopicReplaced'));
    expect(state.parks.map(({ kind }) => kind)).toEqual(['TopicReplaced']);
  });

  it('that passes is shown until its task succeeds', () => {
    const state = after(prepared, copied, stumbled('load:main'));
    expect(failureOf(state)?.kind).toBe('SinkUnavailable');
    expect(failureOf(reduce(state, sliceEnded('publish')))?.kind).toBe('SinkUnavailable');
    expect(failureOf(reduce(state, sliceEnded('load:main')))).toBeNull();
  });

  it('that passes hides behind one that parks', () => {
    const state = after(prepared, copied, stumbled('load:main'), parked('publish', 'SourceChanged'));
    expect(failureOf(state)?.kind).toBe('SourceChanged');
  });

  it('of a slice is forgotten when the table is being removed', () => {
    expect(failureOf(after(prepared, parked('load:main'), removeRequested()))).toBeNull();
    expect(failureOf(after(prepared, removeRequested(), stumbled('load:main')))).toBeNull();
  });
});

describe('a removal', () => {
  it('keeps the terms it began with', () => {
    expect(after(removeRequested(false), removeRequested(true)).lifecycle).toMatchObject({
      step: 'removing',
      dropTarget: false,
    });
    expect(after(removeRequested(true), removed).lifecycle).toEqual({
      step: 'removed',
      dropTarget: true,
      at: AT,
      receipt: null,
    });
  });

  it('takes new terms when it was parked', () => {
    expect(after(removeRequested(false), parked('remove'), removeRequested(true)).lifecycle).toMatchObject({
      dropTarget: true,
    });
  });
});

describe('what is carried to the next run', () => {
  it('counts the runs', () => {
    expect(after().runs).toBe(1);
    expect(after({ type: 'continued' }, { type: 'continued' }).runs).toBe(3);
  });

  it('remembers the last requests only', () => {
    const ids = Array.from({ length: HANDLED_LIMIT + 5 }, (_, index) => `r${index}`);
    const state = after(...ids.map((requestId) => ({ type: 'requestHandled', requestId }) as const));
    expect(state.handled).toHaveLength(HANDLED_LIMIT);
    expect(state.handled[0]).toBe('r5');
  });

  it('is read back as it is, and refused when a newer release wrote it', () => {
    const state = after(prepared, copied);
    expect(upgradeState(state)).toBe(state);
    expect(() => upgradeState({ ...state, stateVersion: 3 } as unknown as TableState)).toThrow(/upgrade the worker/u);
  });

  it('of the release that had two stages only is taken over: its parks, totals and checkpoints', () => {
    const { lifecycle, lastTransientFailure, stages: _stages, ...same } = after(prepared, copied, parked('publish'));
    const { stages: _specs, ...receipt } = PREPARED;
    const totals = { ...NO_TOTALS, rows: 7, witness: { batch: 3, highest: '30' } };
    const carried = {
      ...same,
      stateVersion: 1,
      life: lifecycle,
      hiccup: lastTransientFailure,
      prepared: receipt,
      parks: [{ where: 'load', kind: 'RowRefused', message: 'm', remedy: 'r', since: AT }],
      stages: { publish: totals, load: { ...totals, rows: 5 } },
    };
    const state = upgradeState(carried as unknown as TableState);
    expect(state).toMatchObject({ stateVersion: 2, prepared: PREPARED, lifecycle, lastTransientFailure: null });
    expect(wantedTasks(state)).toEqual(['publish']);
    expect(totalsOf(state, 'load:main')).toMatchObject({ rows: 5, checkpoint: { batch: 3, highest: '30' } });
    expect(Object.keys(state)).not.toContain('hiccup');
  });
});
