import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { STATUS_QUERY } from './names.js';
import type { Backfill } from './backfills.js';
import type { Change, ChangeOutcome, Replay } from './changes.js';
import type { BackfillTerms } from '../src/domain/backfill.js';
import type { CopyPriority } from '../src/domain/copy-priority.js';
import type { Kept } from '../src/domain/kept-table.js';
import type { ReplayTerms } from '../src/domain/replay.js';
import type { CopyReceipt, RemoveReceipt, TableAddress } from '../src/domain/receipt.js';
import type { SearchAttributeName } from '../src/domain/search-attributes.js';
import type { ShapeChange } from '../src/domain/shape.js';
import type { StageId } from '../src/domain/route.js';
import type { TableOptions } from '../src/domain/replicated-table.js';
import type { RouteOptions } from '../src/domain/route-change.js';
import type { FailureKind } from '../src/failure/kinds.js';
import type { RouteChange } from './route-change.js';
import type { StageTotals } from './stage-totals.js';
import type { IgnoredMessage, Pause, Phase, Prepared, TableState, Task, TaskFailure } from './table-state.js';

export { REPLICATE_TABLE } from './names.js';

/** The one argument of `replicateTable`. By hand `{"table":"orders"}` is enough. */
export interface ReplicateTableInput {
  readonly table: string;
  /** Default `public`. */
  readonly schema?: string | undefined;
  /** Default `default`. */
  readonly pipeline?: string | undefined;
  readonly options?: TableOptions | undefined;
  /** How long one slice of publishing or loading runs, milliseconds; default 60,000. */
  readonly sliceMs?: number | undefined;
  /** Of the copies of the table; `normal` when absent. */
  readonly priority?: CopyPriority | undefined;
  /** Where the activities are polled; default the queues every worker polls. Others isolate a pipeline, or a test. */
  readonly taskQueues?: { readonly producer: string; readonly consumer: string } | undefined;
  /** Search attributes that the namespace lacks. Absent: none. Later ones come with receipts. */
  readonly lackingAttributes?: readonly SearchAttributeName[] | undefined;
  /** Carried over continue-as-new; never given by a starter. */
  readonly state?: TableState | undefined;
}

/** What every message may carry. A message is one JSON object; no argument at all means `{}`. */
export interface Message {
  /** At most 200 characters. The last 100 are remembered: a repeat does nothing. */
  readonly requestId?: string | undefined;
}

export interface PauseMessage extends Message {
  /** Shown with the pause; at most 500 characters. */
  readonly reason?: string | undefined;
}

export type ResumeMessage = Message;

export interface ConfigureMessage extends Message, RouteOptions {}

export interface RemoveMessage extends Message {
  /** Drop the ClickHouse table, its floor and its view too; default false. */
  readonly dropTarget?: boolean | undefined;
}

export interface AddLoaderMessage extends Message {
  readonly name: string;
  /** `table` or `database.table`; the name of the first target when absent. */
  readonly target?: string | undefined;
  /** Name of a ClickHouse server in the settings, lower case: `eu` for `CH_URL_EU`. Absent: that of `CH_URL`. */
  readonly server?: string | undefined;
}

export interface RemoveLoaderMessage extends Message {
  readonly name: string;
  readonly dropTarget?: boolean | undefined;
}

export interface PauseLoaderMessage extends Message {
  readonly name: string;
  readonly reason?: string | undefined;
}

export interface ResumeLoaderMessage extends Message {
  readonly name: string;
}

export type ReplayMessage = Message & ReplayTerms;

export interface CancelReplayMessage extends Message {
  /** `replay:1`; not needed while one runs. */
  readonly replay?: string | undefined;
}

export type BackfillMessage = Message & BackfillTerms;

export interface CancelBackfillMessage extends Message {
  /** `backfill:1`; not needed while one runs. */
  readonly backfill?: string | undefined;
}

export interface ResyncMessage extends Message {
  /** Whose target is filled again; the first loader's when absent. */
  readonly loader?: string | undefined;
  /** How long the old table is kept: `7d`, `12h`, `forever`. Absent: it is dropped at once. */
  readonly keep?: string | undefined;
  readonly priority?: CopyPriority | undefined;
}

export interface DropKeptMessage extends Message {
  /** `database.table` or `table`; not needed while one is kept. */
  readonly name?: string | undefined;
}

export interface KeepLongerMessage extends DropKeptMessage {
  /** From now on: `14d`, `forever`. */
  readonly keep: string;
}

export interface PrioritizeMessage extends Message {
  readonly priority: CopyPriority;
}

export interface QuarantineMessage extends Message {
  /** Those that `pg2click quarantine list` shows; all that are open when absent. */
  readonly ids?: readonly string[] | undefined;
}

/** What an update answers. */
export interface Answer {
  /** The table is, or is on its way to be, as asked. */
  readonly accepted: boolean;
  /** This very request changed something: false for a repeat, and for a wish that already held. */
  readonly changed: boolean;
  /** After the request. */
  readonly phase: Phase;
  /** One sentence for a person. */
  readonly message: string;
  /** Of a refusal; absent from older releases. */
  readonly kind?: RefusalKind;
}

/** `UnsuitableTable`: the table is not such, or not now. `Misconfigured`: the request names what it does not have. */
export type RefusalKind = Extract<FailureKind, 'UnsuitableTable' | 'Misconfigured'>;

/** What the query `status` answers, and the result of a workflow whose table was removed. */
export interface TableStatus extends TableAddress {
  readonly phase: Phase;
  /** ISO 8601: when the table was first added. */
  readonly startedAt: string;
  /** Runs of the workflow so far: it continues as new when its history grows long. */
  readonly runs: number;
  readonly paused: Pause | null;
  /** By loader. */
  readonly loaderPauses: Readonly<Record<string, Pause>>;
  /** The change of loaders or replays that is being made, and how the last one ended. */
  readonly change: Change | null;
  readonly changed: ChangeOutcome | null;
  readonly replays: readonly Replay[];
  readonly backfills: readonly Backfill[];
  /** Old tables of its resyncs that are kept. */
  readonly kept: readonly Kept[];
  /** Of its copies, those excepted that were asked for with another. */
  readonly priority: CopyPriority;
  /** Rows that ClickHouse refused and that are set aside, as of the last slices. */
  readonly quarantined: number;
  /** Activities that run right now. Paused and empty: nothing is touched any more. */
  readonly running: readonly Task[];
  /** Null until prepared. */
  readonly prepared: Prepared | null;
  /** Null until the first load is done. */
  readonly copied: CopyReceipt | null;
  /** What the slices of the first load have done so far; null where none has ended, or it is done. */
  readonly copying: CopyReceipt | null;
  /** The last change of its columns; null where there was none. */
  readonly shape: ShapeChange | null;
  /** A change of the route that is under way; absent in older releases. */
  readonly routeChange: RouteChange | null;
  /** As of the end of the last slice: up to `sliceMs` old. */
  readonly stages: Readonly<Record<StageId, StageTotals>>;
  /** Age of the oldest change not in ClickHouse yet, as of the last slices. */
  readonly lagSeconds: number;
  /** What holds the table up; without a park, the last failure that is being retried. */
  readonly failure: TaskFailure | null;
  /** Tasks that wait for `resume`, oldest first. */
  readonly parks: readonly TaskFailure[];
  /** The last signal that could not be understood. */
  readonly ignored: IgnoredMessage | null;
  /** What the removal dropped and what it kept; null before, and where nobody knows any more. */
  readonly removal: RemoveReceipt | null;
}

export const pauseSignal = defineSignal<[PauseMessage]>('pause');
export const resumeSignal = defineSignal<[ResumeMessage]>('resume');
export const configureSignal = defineSignal<[ConfigureMessage]>('configure');
export const removeSignal = defineSignal<[RemoveMessage]>('remove');

export const requestPause = defineUpdate<Answer, [PauseMessage]>('requestPause');
export const requestResume = defineUpdate<Answer, [ResumeMessage]>('requestResume');
export const requestConfigure = defineUpdate<Answer, [ConfigureMessage]>('requestConfigure');
export const requestRemove = defineUpdate<Answer, [RemoveMessage]>('requestRemove');

/** Signal and update of each message about loaders, replays and the quarantine, with what the Temporal UI says of them. */
export const CHANGE_MESSAGES = [
  {
    action: 'addLoader',
    signal: defineSignal<[AddLoaderMessage]>('addLoader'),
    update: defineUpdate<Answer, [AddLoaderMessage]>('requestAddLoader'),
    description: 'Load the topic into another table too. {"name": "...", "target": "db.table", "server": "..."}.',
  },
  {
    action: 'removeLoader',
    signal: defineSignal<[RemoveLoaderMessage]>('removeLoader'),
    update: defineUpdate<Answer, [RemoveLoaderMessage]>('requestRemoveLoader'),
    description: 'End a loader. {"name": "...", "dropTarget": true} drops its ClickHouse table too.',
  },
  {
    action: 'pauseLoader',
    signal: defineSignal<[PauseLoaderMessage]>('pauseLoader'),
    update: defineUpdate<Answer, [PauseLoaderMessage]>('requestPauseLoader'),
    description: 'Stop one loader; the others go on. {"name": "...", "reason": "..."}.',
  },
  {
    action: 'resumeLoader',
    signal: defineSignal<[ResumeLoaderMessage]>('resumeLoader'),
    update: defineUpdate<Answer, [ResumeLoaderMessage]>('requestResumeLoader'),
    description: 'Go on with one loader. {"name": "..."}.',
  },
  {
    action: 'replay',
    signal: defineSignal<[ReplayMessage]>('replay'),
    update: defineUpdate<Answer, [ReplayMessage]>('requestReplay'),
    description:
      'Load a range of the topic again. {"from": "beginning", "to": "...", "loader": "...", "into": "table"}.',
  },
  {
    action: 'cancelReplay',
    signal: defineSignal<[CancelReplayMessage]>('cancelReplay'),
    update: defineUpdate<Answer, [CancelReplayMessage]>('requestCancelReplay'),
    description: 'End a replay; what it has written stays. {"replay": "replay:1"}.',
  },
  {
    action: 'backfill',
    signal: defineSignal<[BackfillMessage]>('backfill'),
    update: defineUpdate<Answer, [BackfillMessage]>('requestBackfill'),
    description:
      'Read rows of PostgreSQL again. {"from": "1", "to": "100", "prune": true}, or {"where": "..."}, or {} for all; {"loader": "...", "priority": "high"}.',
  },
  {
    action: 'cancelBackfill',
    signal: defineSignal<[CancelBackfillMessage]>('cancelBackfill'),
    update: defineUpdate<Answer, [CancelBackfillMessage]>('requestCancelBackfill'),
    description: 'End a backfill; what it has written stays. {"backfill": "backfill:1"}.',
  },
  {
    action: 'resync',
    signal: defineSignal<[ResyncMessage]>('resync'),
    update: defineUpdate<Answer, [ResyncMessage]>('requestResync'),
    description: 'Fill a fresh table and put it in the place of the live one. {"loader": "...", "keep": "7d"}.',
  },
  {
    action: 'cancelResync',
    signal: defineSignal<[Message]>('cancelResync'),
    update: defineUpdate<Answer, [Message]>('requestCancelResync'),
    description: 'End a resync; the live table stays as it is. {}.',
  },
  {
    action: 'dropKept',
    signal: defineSignal<[DropKeptMessage]>('dropKept'),
    update: defineUpdate<Answer, [DropKeptMessage]>('requestDropKept'),
    description: 'Drop the old table that a resync has kept. {"name": "db.table"}, needed where several are kept.',
  },
  {
    action: 'keepLonger',
    signal: defineSignal<[KeepLongerMessage]>('keepLonger'),
    update: defineUpdate<Answer, [KeepLongerMessage]>('requestKeepLonger'),
    description: 'Keep the old table of a resync for this time from now on. {"keep": "14d", "name": "db.table"}.',
  },
  {
    action: 'prioritize',
    signal: defineSignal<[PrioritizeMessage]>('prioritize'),
    update: defineUpdate<Answer, [PrioritizeMessage]>('requestPrioritize'),
    description: 'Let the copies of the table go before others, or after them. {"priority": "high"}, normal or low.',
  },
  {
    action: 'retryQuarantined',
    signal: defineSignal<[QuarantineMessage]>('retryQuarantined'),
    update: defineUpdate<Answer, [QuarantineMessage]>('requestRetryQuarantined'),
    description: 'Insert rows of the quarantine again, all of them or some. {"ids": ["12"]}.',
  },
  {
    action: 'dropQuarantined',
    signal: defineSignal<[QuarantineMessage]>('dropQuarantined'),
    update: defineUpdate<Answer, [QuarantineMessage]>('requestDropQuarantined'),
    description: 'Do without rows of the quarantine, all of them or some. {"ids": ["12"]}.',
  },
] as const;

export const statusQuery = defineQuery<TableStatus>(STATUS_QUERY);
