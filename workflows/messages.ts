import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { STATUS_QUERY } from './names.js';
import type { CopyReceipt, RemoveReceipt, TableAddress } from '../src/domain/receipt.js';
import type { StageId } from '../src/domain/route.js';
import type { TableOptions } from '../src/domain/replicated-table.js';
import type { RouteOptions } from '../src/domain/route-change.js';
import type { RouteChange } from './route-change.js';
import type {
  IgnoredMessage,
  Pause,
  Phase,
  Prepared,
  StageTotals,
  TableState,
  Task,
  TaskFailure,
} from './table-state.js';

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
  /** Where the activities are polled; default the queues every worker polls. Others isolate a pipeline, or a test. */
  readonly taskQueues?: { readonly producer: string; readonly consumer: string } | undefined;
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
}

/** What the query `status` answers, and the result of a workflow whose table was removed. */
export interface TableStatus extends TableAddress {
  readonly phase: Phase;
  /** ISO 8601: when the table was first added. */
  readonly startedAt: string;
  /** Runs of the workflow so far: it continues as new when its history grows long. */
  readonly runs: number;
  readonly paused: Pause | null;
  /** Activities that run right now. Paused and empty: nothing is touched any more. */
  readonly running: readonly Task[];
  /** Null until prepared. */
  readonly prepared: Prepared | null;
  /** Null until the first load is done. */
  readonly copied: CopyReceipt | null;
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

export const statusQuery = defineQuery<TableStatus>(STATUS_QUERY);
