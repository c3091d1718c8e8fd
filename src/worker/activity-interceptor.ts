import type { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type {
  ChangeReceipt,
  CopyReceipt,
  PrepareReceipt,
  RemoveReceipt,
  SliceRequest,
  TableAddress,
  WorkerNote,
} from '../domain/receipt.js';
import { COPY_STAGE } from '../domain/route.js';
import type { SearchAttributeName } from '../domain/search-attributes.js';
import { formatTableName } from '../domain/table-name.js';
import { toApplicationFailure } from '../failure/application-failure.js';
import { failingServer } from '../failure/failing-server.js';
import { Failure, type FailingServer } from '../failure/failure.js';
import { isFailureKind, policyOf, type FailureKind } from '../failure/kinds.js';
import type { Log } from '../observe/log.js';
import type { Meters } from '../observe/meters.js';
import { CHANGE_TASKS } from '../../workflows/changes.js';

export interface InterceptorOptions {
  readonly meters: Meters;
  readonly log: Log;
  /** Which worker this is, as Temporal shows it. */
  readonly identity: string;
  /** Where this worker reaches its servers. */
  readonly addresses?: Partial<Readonly<Record<FailingServer, string>>> | undefined;
  /** What every slice tells the workflow; nothing where nobody knows it. */
  readonly lackingAttributes?: () => readonly SearchAttributeName[] | undefined;
}

interface FailureFields {
  readonly table: string;
  readonly pipeline: string;
  /** Where the task is a stage. */
  readonly stage?: string;
  readonly task: string;
  readonly kind: FailureKind;
  readonly worker: string;
  readonly attempt: number;
}

/** In an outage each table tries again every 10 s: after the first failure, this many go by between two lines of the log. */
const REPEAT_EVERY = 30;

/**
 * What every activity has in common at its door: the `Failure` that it throws becomes Temporal's, is counted and logged; and what
 * it did to a table, other than moving batches, is logged.
 */
export function activityInterceptor({
  meters,
  log,
  identity,
  addresses = {},
  lackingAttributes = () => undefined,
}: InterceptorOptions): ActivityInterceptorsFactory {
  /** By table and task: the kind that was logged last, so that another one does not wait for its turn. */
  const logged = new Map<string, FailureKind>();
  return ({ info }: Context) => ({
    inbound: {
      async execute(input, next) {
        const request = input.args[0] as TableAddress & Partial<SliceRequest>;
        const table = formatTableName(request);
        const task = request.stage ?? info.activityType.replace(/(?:Slice|Table)$/u, '');
        const { pipeline, stage } = request;
        const fields = { table, pipeline, ...(stage === undefined ? {} : { stage }), worker: identity };
        const startedAt = Date.now();
        try {
          const receipt: unknown = await next(input);
          logged.delete(keyOf({ ...fields, task }));
          const done = describeReceipt(task, receipt);
          if (done !== undefined)
            log.info({ ...fields, ...done.fields, seconds: (Date.now() - startedAt) / 1_000 }, done.what);
          return stage === undefined ? receipt : withNote(receipt, lackingAttributes());
        } catch (error) {
          const failure = toApplicationFailure(error, info.activityType, identity);
          // What is no ApplicationFailure is a cancellation.
          if (failure instanceof ApplicationFailure) {
            const kind = isFailureKind(failure.type) ? failure.type : 'Unexpected';
            meters.add('pg2click_slice_failures_total', 1, { pipeline, table, task, kind });
            logFailure({ ...fields, task, kind, attempt: info.attempt }, failure, error);
          }
          throw failure;
        }
      },
    },
  });

  function logFailure(
    { attempt, ...fields }: FailureFields,
    { message, nonRetryable, details }: ApplicationFailure,
    error: unknown,
  ): void {
    const { remedy } = (details?.[0] ?? {}) as { readonly remedy?: string };
    // A bug needs its place; of what is known the sentence says all.
    const bug = fields.kind === 'Unexpected' ? { error } : {};
    const server = failingServer(error);
    const where = server === undefined ? {} : { server, address: addresses[server] };
    const sentence = error instanceof Failure ? (error.logged ?? message) : message;
    // Nothing stops for it: the table goes on, and the person has the answer.
    if (nonRetryable === true && isRequest(fields.task))
      log.warn({ ...fields, ...where, remedy, ...bug }, `refused: ${sentence}`);
    else if (nonRetryable === true) log.error({ ...fields, ...where, remedy, ...bug }, `parked: ${sentence}`);
    else {
      const isNews = attempt % REPEAT_EVERY === 1 || logged.get(keyOf(fields)) !== fields.kind;
      logged.set(keyOf(fields), fields.kind);
      log[isNews && policyOf(fields.kind).delayMs === undefined ? 'warn' : 'debug'](
        { ...fields, ...where, attempt, remedy, ...bug },
        `is being retried: ${sentence}`,
      );
    }
  }
}

function withNote(receipt: unknown, lackingAttributes: WorkerNote['lackingAttributes']): unknown {
  const isSlice = typeof receipt === 'object' && receipt !== null;
  return isSlice && lackingAttributes !== undefined ? { ...receipt, lackingAttributes } : receipt;
}

/** What a person asks for beside the stages of a table. A change of the route is none: where it fails, it parks. */
function isRequest(task: string): boolean {
  return task === 'changeQuarantine' || task === 'changeKept' || CHANGE_TASKS.includes(task);
}

function keyOf({ pipeline, table, task }: Pick<FailureFields, 'pipeline' | 'table' | 'task'>): string {
  return JSON.stringify([pipeline, table, task]);
}

/** Tasks that end by themselves; slices end all the time. */
function describeReceipt(task: string, receipt: unknown): { what: string; fields: object } | undefined {
  switch (task) {
    case 'prepare': {
      const { generation, topic, target, key } = receipt as PrepareReceipt;
      return { what: 'table prepared', fields: { generation, topic, target, key } };
    }
    case COPY_STAGE: {
      const { rows, finished, progress } = receipt as CopyReceipt;
      const { chunks, chunksDone } = progress ?? {};
      return { what: finished === false ? 'copy goes on' : 'copy ended', fields: { rows, chunks, chunksDone } };
    }
    case 'changeRoute': {
      const { next, refused, prepared } = receipt as ChangeReceipt;
      if (refused !== undefined) return { what: 'change refused', fields: { refused } };
      const { generation, topic } = prepared ?? {};
      return { what: 'step of a change ended', fields: { next, generation, topic } };
    }
    case 'remove': {
      const { dropped } = (receipt ?? {}) as Partial<RemoveReceipt>;
      return { what: 'table removed', fields: { dropped } };
    }
    default:
      return undefined;
  }
}
