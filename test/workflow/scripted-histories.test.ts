import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { pino } from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { stagesOf } from '../../src/domain/route.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../../src/domain/search-attributes.js';
import { installRuntime } from '../../src/worker/runtime.js';
import { ScriptedHistory } from '../support/scripted-history.js';
import {
  after,
  COPIED,
  copied,
  PREPARED,
  prepared,
  removeRequested,
  slice,
  sliceEnded,
} from '../support/table-events.js';
import { withLoaders } from '../support/loader-receipts.js';
import { replaySpecs } from '../../src/domain/replay.js';
import { bundleWorkflows } from '../support/workflow-bundle.js';

/** Lives of a table, written by hand and replayed: what the workflow does in each is compared command by command. */
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  installRuntime({ log: pino({ level: 'silent' }) });
  workflowBundle = await bundleWorkflows();
});

async function replay(history: ScriptedHistory): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle }, JSON.parse(JSON.stringify(history)));
}

const FIRST = {
  Pg2clickTable: 'public.orders',
  Pg2clickPipeline: 'default',
  Pg2clickPhase: 'preparing',
  Pg2clickLagSeconds: 0,
};

function phase(name: string): Record<string, string> {
  return { Pg2clickPhase: name };
}

/** Up to the moment when publishing, loading and the first load run. */
function copying(): ScriptedHistory {
  return new ScriptedHistory()
    .task()
    .tells(FIRST)
    .schedules('prepareTable')
    .completes('prepareTable', PREPARED)
    .task()
    .tells(phase('copying'))
    .schedules('copyTable', 'publishSlice', 'loadSlice');
}

/** Up to the moment when publishing and loading run. */
function streaming(): ScriptedHistory {
  return copying().completes('copyTable', COPIED).task().tells(phase('streaming'));
}

describe('a table', () => {
  it('is prepared, then copied, published and loaded at the same time', async () => {
    await replay(streaming().nothingElse());
  });

  it('goes on with the next slice of a stage, whatever the other does', async () => {
    await replay(
      streaming()
        .completes('publishSlice', slice('publish'))
        .task()
        .schedules('publishSlice')
        .completes('publishSlice', slice('publish'))
        .completes('loadSlice', slice('load:main'))
        .task()
        .schedules('publishSlice', 'loadSlice')
        .nothingElse(),
    );
  });

  it('tells only the search attributes that there are, and notes what commands read of the others, until a receipt says that they are back', async () => {
    const { Pg2clickPhase, Pg2clickTable: _lacking, ...others } = FIRST;
    await replay(
      new ScriptedHistory({ lackingAttributes: ['Pg2clickPhase', 'Pg2clickTable'] })
        .task()
        .tells(others)
        .notes({ Pg2clickPhase })
        .schedules('prepareTable')
        .completes('prepareTable', PREPARED)
        .task()
        .notes(phase('copying'))
        .schedules('copyTable', 'publishSlice', 'loadSlice')
        .completes('publishSlice', slice('publish'))
        .task()
        .schedules('publishSlice')
        .completes('publishSlice', { ...slice('publish'), lackingAttributes: [] })
        .task()
        .tells({ ...phase('copying'), Pg2clickTable: FIRST.Pg2clickTable })
        .notes({ Pg2clickPhase: null })
        .schedules('publishSlice')
        .nothingElse(),
    );
  });

  it('that lacks all of them tells none', async () => {
    await replay(
      new ScriptedHistory({ lackingAttributes: SEARCH_ATTRIBUTE_NAMES })
        .task()
        .notes(phase('preparing'))
        .schedules('prepareTable')
        .signal('remove')
        .task()
        .notes(phase('removing')),
    );
  });

  it.each(['Pg2clickPipeline', 'Pg2clickLagSeconds'] as const)(
    'tells %s again when it is back, also where its value is the same as before',
    async (name) => {
      await replay(
        streaming()
          .completes('publishSlice', { ...slice('publish'), lackingAttributes: [name] })
          .task()
          .schedules('publishSlice')
          .completes('publishSlice', { ...slice('publish'), lackingAttributes: [] })
          .task()
          .tells({ [name]: FIRST[name] })
          .schedules('publishSlice')
          .nothingElse(),
      );
    },
  );

  it('that has lost one tells it no more, from the receipt on that says so', async () => {
    await replay(
      streaming()
        .completes('publishSlice', { ...slice('publish'), lackingAttributes: ['Pg2clickPhase'] })
        .task()
        .notes(phase('streaming'))
        .schedules('publishSlice')
        .signal('pause')
        .task()
        .notes(phase('paused'))
        .cancels('loadSlice', 'publishSlice')
        .signal('remove')
        .task()
        .notes(phase('removing')),
    );
  });

  it('tells its lag at most once a minute', async () => {
    const lagging = (lagSeconds: number) => slice('load:main', { lagSeconds });
    await replay(
      streaming()
        .after(30)
        .completes('loadSlice', lagging(5))
        .task()
        .schedules('loadSlice')
        .after(31)
        .completes('loadSlice', lagging(36))
        .task()
        .tells({ Pg2clickLagSeconds: 36 })
        .schedules('loadSlice')
        .nothingElse(),
    );
  });
});

describe('a pause', () => {
  it('stops what runs, and nothing runs before resume', async () => {
    await replay(
      streaming()
        .signal('pause', { reason: 'vacuum' })
        .task()
        .tells(phase('paused'))
        .cancels('publishSlice', 'loadSlice')
        .completes('publishSlice', slice('publish'))
        .isCancelled('loadSlice')
        .task()
        .signal('resume')
        .task()
        .tells(phase('streaming'))
        .schedules('publishSlice', 'loadSlice')
        .nothingElse(),
    );
  });

  it('that is lifted while slices still stop waits for them', async () => {
    await replay(
      streaming()
        .signal('pause')
        .task()
        .tells(phase('paused'))
        .cancels('publishSlice', 'loadSlice')
        .signal('resume')
        .task()
        .tells(phase('streaming'))
        .completes('publishSlice', slice('publish'))
        .task()
        .schedules('publishSlice')
        .completes('loadSlice', slice('load:main'))
        .task()
        .schedules('loadSlice')
        .nothingElse(),
    );
  });

  it('holds a backfill that is asked for, which is then withdrawn without a trace', async () => {
    const paused = () =>
      streaming()
        .signal('pause')
        .task()
        .tells(phase('paused'))
        .cancels('publishSlice', 'loadSlice')
        .isCancelled('publishSlice')
        .isCancelled('loadSlice')
        .task()
        .signal('backfill', { from: 1, to: 10 })
        .task();
    const resumed = (history: ScriptedHistory) => history.signal('resume').task().tells(phase('streaming'));
    await replay(resumed(paused()).schedules('publishSlice', 'loadSlice', 'startBackfill').nothingElse());
    await replay(
      resumed(paused().signal('cancelBackfill').task()).schedules('publishSlice', 'loadSlice').nothingElse(),
    );
  });

  it('that comes together with a resume stops nothing', async () => {
    await replay(
      streaming()
        .signal('pause')
        .signal('resume')
        .task()
        .tells(phase('paused'))
        .tells(phase('streaming'))
        .nothingElse(),
    );
  });

  it('holds in the first load, which goes on', async () => {
    await replay(
      copying()
        .signal('pause')
        .task()
        .tells(phase('paused'))
        .cancels('copyTable', 'publishSlice', 'loadSlice')
        .isCancelled('copyTable')
        .isCancelled('publishSlice')
        .isCancelled('loadSlice')
        .task()
        .signal('resume')
        .task()
        .tells(phase('copying'))
        .schedules('copyTable', 'publishSlice', 'loadSlice')
        .nothingElse(),
    );
  });

  it('is not disturbed by what a stopping slice met, unless a person must look at it', async () => {
    await replay(
      streaming()
        .signal('pause')
        .task()
        .tells(phase('paused'))
        .cancels('publishSlice', 'loadSlice')
        .fails('publishSlice', 'SourceUnavailable')
        .task()
        .fails('loadSlice', 'RowRefused')
        .task()
        .tells({ Pg2clickFailure: 'RowRefused' })
        .signal('resume')
        .task()
        .tells({ Pg2clickPhase: 'streaming', Pg2clickFailure: null })
        .schedules('publishSlice', 'loadSlice')
        .nothingElse(),
    );
  });
});

describe('a failure', () => {
  it('that a person must clear stops its own stage only', async () => {
    await replay(
      streaming()
        .fails('loadSlice', 'SchemaMismatch')
        .task()
        .tells({ Pg2clickPhase: 'parked', Pg2clickFailure: 'SchemaMismatch' })
        .completes('publishSlice', slice('publish'))
        .task()
        .schedules('publishSlice')
        .signal('resume', { requestId: 'r1' })
        .task()
        .tells({ Pg2clickPhase: 'streaming', Pg2clickFailure: null })
        .schedules('loadSlice')
        .nothingElse(),
    );
  });

  it('while preparing stops everything', async () => {
    await replay(
      new ScriptedHistory()
        .task()
        .tells(FIRST)
        .schedules('prepareTable')
        .fails('prepareTable', 'MissingTable')
        .task()
        .tells({ Pg2clickPhase: 'parked', Pg2clickFailure: 'MissingTable' })
        .signal('resume')
        .task()
        .tells({ Pg2clickPhase: 'preparing', Pg2clickFailure: null })
        .schedules('prepareTable')
        .nothingElse(),
    );
  });

  it('that passes, once Temporal has given up on it, is tried again after 10 s', async () => {
    await replay(
      streaming()
        .fails('loadSlice', 'SinkUnavailable')
        .task()
        .tells({ Pg2clickFailure: 'SinkUnavailable' })
        .sleeps(10)
        .after(10)
        .fires(1)
        .task()
        .schedules('loadSlice')
        .completes('loadSlice', slice('load:main'))
        .task()
        .tells({ Pg2clickFailure: null })
        .schedules('loadSlice')
        .nothingElse(),
    );
  });
});

describe('a removal', () => {
  it('waits for what runs, then removes and ends', async () => {
    await replay(
      copying()
        .signal('remove', { dropTarget: true })
        .task()
        .tells(phase('removing'))
        .cancels('copyTable', 'publishSlice', 'loadSlice')
        .completes('publishSlice', slice('publish'))
        .isCancelled('copyTable')
        .task()
        .completes('loadSlice', slice('load:main'))
        .task()
        .schedules('removeTable')
        .completes('removeTable')
        .task()
        .tells(phase('removed'))
        .ends(),
    );
  });

  it('of a table that is only being prepared ends too', async () => {
    await replay(
      new ScriptedHistory()
        .signal('remove')
        .task()
        .tells({ ...FIRST, ...phase('removing') })
        .schedules('removeTable')
        .completes('removeTable')
        .task()
        .tells(phase('removed'))
        .ends(),
    );
  });
});

describe('a loader', () => {
  const ADDED = withLoaders('main', 'eu');

  it('is added beside the stages that run, then copies and loads', async () => {
    await replay(
      streaming()
        .signal('addLoader', { name: 'eu', server: 'eu' })
        .task()
        .schedules('addLoader')
        .completes('addLoader', ADDED)
        .task()
        .schedules('copyTable', 'loadSlice')
        .completes('copyTable', COPIED)
        .task()
        .nothingElse(),
    );
  });

  it('that is refused changes nothing', async () => {
    await replay(
      streaming()
        .signal('addLoader', { name: 'eu' })
        .task()
        .schedules('addLoader')
        .fails('addLoader', 'TargetTaken')
        .task()
        .nothingElse(),
    );
  });

  it('is removed when its slices have ended', async () => {
    const state = after(prepared, copied);
    const two = {
      ...state,
      prepared: { ...PREPARED, ...ADDED.prepared, stages: ADDED.prepared.stages ?? [] },
      done: ['copy:eu'],
    };
    await replay(
      new ScriptedHistory({ state: two })
        .task()
        .tells({ ...FIRST, ...phase('streaming') })
        .schedules('publishSlice', 'loadSlice', 'loadSlice')
        .signal('removeLoader', { name: 'eu' })
        .task()
        .cancels('loadSlice')
        .completes('loadSlice', slice('load:eu'))
        .task()
        .schedules('removeLoader')
        .completes('removeLoader', withLoaders('main'))
        .task()
        .nothingElse(),
    );
  });
});

describe('a replay', () => {
  const STARTED = {
    stage: 'replay:1',
    stages: replaySpecs('replay:1', false),
    start: { 0: '0' },
    end: { 0: '9' },
    loader: 'main',
    target: 'default.orders',
  };

  it('runs beside the table until a slice says that it is done', async () => {
    await replay(
      streaming()
        .signal('replay', { from: 'beginning' })
        .task()
        .schedules('startReplay')
        .completes('startReplay', STARTED)
        .task()
        .schedules('replaySlice')
        .completes('replaySlice', { ...slice('replay:1'), finished: false })
        .task()
        .schedules('replaySlice')
        .completes('replaySlice', { ...slice('replay:1'), finished: true })
        .task()
        .nothingElse(),
    );
  });

  it('is cancelled when its slice has ended', async () => {
    await replay(
      streaming()
        .signal('replay', { from: 'beginning' })
        .task()
        .schedules('startReplay')
        .completes('startReplay', STARTED)
        .task()
        .schedules('replaySlice')
        .signal('cancelReplay')
        .task()
        .cancels('replaySlice')
        .completes('replaySlice', { ...slice('replay:1'), finished: false })
        .task()
        .schedules('cancelReplay')
        .completes('cancelReplay')
        .task()
        .nothingElse(),
    );
  });
});

describe('a backfill', () => {
  const BEGUN = { stage: 'backfill:1', loader: 'main', target: 'analytics.orders' };
  const begun = (): ScriptedHistory =>
    streaming()
      .signal('backfill', { from: 7, to: [8], prune: true })
      .task()
      .schedules('startBackfill')
      .completes('startBackfill', BEGUN)
      .task()
      .schedules('copyTable');

  it('runs beside the table, slice after slice, until one says that it is done', async () => {
    await replay(
      begun()
        .completes('copyTable', { ...COPIED, finished: false })
        .task()
        .schedules('copyTable')
        .completes('copyTable', { ...COPIED, finished: true, pruned: 3 })
        .task()
        .nothingElse(),
    );
  });

  it('is cancelled when its slice has ended', async () => {
    await replay(
      begun()
        .signal('cancelBackfill')
        .task()
        .cancels('copyTable')
        .completes('copyTable', { ...COPIED, finished: false })
        .task()
        .schedules('cancelBackfill')
        .completes('cancelBackfill')
        .task()
        .nothingElse(),
    );
  });
});

describe('a copy that waits for its turn', () => {
  it('waits again with another priority when that is changed', async () => {
    await replay(
      copying()
        .signal('prioritize', { priority: 'high' })
        .task()
        .cancels('copyTable')
        .completes('copyTable', { ...COPIED, finished: false })
        .task()
        .schedules('copyTable')
        .signal('prioritize', { priority: 'high' })
        .task()
        .completes('copyTable', COPIED)
        .task()
        .tells(phase('streaming'))
        .nothingElse(),
    );
  });
});

describe('an old table that a resync has kept', () => {
  const until = '2026-01-02T00:00:00.000Z';
  const kept = [{ name: 'd.t__r1_old', until }];
  const keeping = (): ScriptedHistory => new ScriptedHistory({ state: { ...after(prepared, copied), kept } });

  it('is dropped when its time is over, whichever run of the workflow it is', async () => {
    await replay(
      keeping()
        .task()
        .tells(phase('streaming'))
        .sleeps(86_400)
        .schedules('publishSlice', 'loadSlice')
        .after(86_400)
        .fires(1)
        .task()
        .schedules('changeKept')
        .completes('changeKept', { kept: [] })
        .task()
        .nothingElse(),
    );
  });

  it('whose time was over while nothing ran is dropped at once', async () => {
    await replay(
      keeping()
        .after(90_000)
        .task()
        .tells(phase('streaming'))
        .sleeps(1)
        .schedules('publishSlice', 'loadSlice', 'changeKept')
        .nothingElse(),
    );
  });
});

describe('a history that grows long', () => {
  it('is continued as new once the slices have stopped', async () => {
    await replay(
      streaming()
        .completes('publishSlice', slice('publish'))
        .task({ suggestContinueAsNew: true })
        .cancels('loadSlice')
        .completes('loadSlice', slice('load:main'))
        .task({ suggestContinueAsNew: true })
        .continuesAsNew(),
    );
  });

  it('of an older release waits for the first load, which could not be cut in two', async () => {
    await replay(
      copying()
        .completes('publishSlice', slice('publish'))
        .task({ suggestContinueAsNew: true })
        .schedules('publishSlice')
        .completes('copyTable', COPIED)
        .task({ suggestContinueAsNew: true })
        .tells(phase('streaming'))
        .cancels('publishSlice', 'loadSlice')
        .completes('publishSlice', slice('publish'))
        .isCancelled('loadSlice')
        .task({ suggestContinueAsNew: true })
        .continuesAsNew(),
    );
  });

  it('moves to the workers of a new version in the same way', async () => {
    await replay(
      streaming()
        .signal('pause')
        .task({ targetWorkerDeploymentVersionChanged: true })
        .tells(phase('paused'))
        .cancels('publishSlice', 'loadSlice')
        .completes('publishSlice', slice('publish'))
        .completes('loadSlice', slice('load:main'))
        .task({ targetWorkerDeploymentVersionChanged: true })
        .continuesAsNew(),
    );
  });

  it('goes on in the next run where it was', async () => {
    const state = after(prepared, copied, sliceEnded('load:main', { lagSeconds: 7 }));
    await replay(
      new ScriptedHistory({ state })
        .task()
        .tells({ ...FIRST, ...phase('streaming'), Pg2clickLagSeconds: 7 })
        .schedules('publishSlice', 'loadSlice')
        .nothingElse(),
    );
  });

  it('removes in the next run what was asked to be removed in the last', async () => {
    await replay(
      new ScriptedHistory({ state: after(prepared, removeRequested(true)) })
        .task()
        .tells({ ...FIRST, ...phase('removing') })
        .schedules('removeTable')
        .completes('removeTable')
        .task()
        .tells(phase('removed'))
        .ends(),
    );
  });
});

describe('a change of the route', () => {
  const STAGES = stagesOf({ capture: {}, transport: { kind: 'direct' }, loaders: [{ name: 'main' }] });
  const SWITCHED = { ...PREPARED, topic: null, stages: STAGES };

  it('stops the stage that reads the capture, then the loaders, and starts those of the new route', async () => {
    await replay(
      streaming()
        .signal('configure', { transport: 'direct' })
        .task()
        .tells(phase('configuring'))
        .schedules('changeRoute')
        .completes('changeRoute', { next: 'draining' })
        .task()
        .cancels('publishSlice')
        .completes('publishSlice', slice('publish'))
        .task()
        .schedules('changeRoute')
        .completes('changeRoute', { next: 'switching' })
        .task()
        .cancels('loadSlice')
        .completes('loadSlice', slice('load:main'))
        .task()
        .schedules('changeRoute')
        .completes('changeRoute', { next: null, prepared: SWITCHED })
        .task()
        .tells(phase('streaming'))
        .schedules('directSlice')
        .nothingElse(),
    );
  });

  it('that is refused leaves the stages running', async () => {
    await replay(
      streaming()
        .signal('configure', { engine: 'merge-tree' })
        .task()
        .tells(phase('configuring'))
        .schedules('changeRoute')
        .completes('changeRoute', { next: null, refused: 'It may not.', prepared: PREPARED })
        .task()
        .tells(phase('streaming'))
        .nothingElse(),
    );
  });
});

describe('these scripts', () => {
  const wrong: readonly [string, () => ScriptedHistory][] = [
    ['another activity', () => new ScriptedHistory().task().tells(FIRST).schedules('copyTable').nothingElse()],
    [
      'a missing command',
      () =>
        streaming()
          .completes('publishSlice', slice('publish'))
          .task()
          .completes('loadSlice', slice('load:main'))
          .task()
          .schedules('loadSlice'),
    ],
    ['a command too many', () => copying().schedules('removeTable').nothingElse()],
    ['an end that does not come', () => streaming().ends()],
  ];
  it.each(wrong)('fail for %s', async (_, history) => {
    await expect(replay(history())).rejects.toThrow(/TMPRL1100|[Nn]ondeterminism/u);
  });
});
