import type { Queryable } from '../../connect/queryable.js';
import type { BatchName } from '../../domain/batch.js';
import { physicalNameOf, type CaptureOptions } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { BatchSource } from '../../pipeline/batch.js';
import type { RowBatch, RowStream } from '../../pipeline/row-batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import type { Capture, CaptureServices, Inspection } from '../capture.js';
import { inspectTable } from '../catalog/inspect.js';
import { readPollBacklog } from './backlog.js';
import { STREAM_LIMITS, TOPIC_LIMITS } from './batch-size.js';
import { chooseCursor, requireIdsThatFit } from './cursor.js';
import { holdAsInspected, installWake, removeWake } from './install.js';
import { NotifyWaker } from './notify-waker.js';
import { pollSpecOf, type PollSpec } from './poll-table.js';
import { PollSource, type PollGuards, type ReadContent } from './poll-source.js';
import type { PollPosition, PollRow } from './position.js';
import { readChanges, readStream } from './read-rows.js';
import { findSequence, readLast } from './sequence.js';
import { channelOf } from './wake-trigger.js';
import { TimerWaker, WatchWaker, type Waker } from './waker.js';

const POLL = 'poll';
const NOTIFY = 'notify';
type PollKind = typeof POLL | typeof NOTIFY;

/** Ids whose rows may be inserted late, by transactions that have drawn them and not touched the table: the gaps there are journalled. */
const READ_AGAIN = 10_000n;

/** A notification that is lost costs this at most. */
const NOTIFY_INTERVAL_MS = 5_000;

/** A table that only grows, read by a number that a sequence gives its rows. Takes SELECT on the table and on the sequence. */
export const pollCapture: Capture = makePollCapture(POLL);
/** The same, woken by notifications. */
export const notifyCapture: Capture = makePollCapture(NOTIFY);

/** @param guards for a test that shows what they are for */
export function makePollCapture(kind: PollKind, guards?: PollGuards): Capture {
  const open = <Content>(
    services: CaptureServices,
    context: StageContext,
    read: ReadContent<Content>,
    limits = TOPIC_LIMITS,
  ): BatchSource<BatchName, Content> => {
    const stage = context as StageContext<PollRow>;
    const options = { read, limits, guards, waker: wakerOf(services, stage) };
    return new PollSource(services, stage, options) as BatchSource<BatchName, Content>;
  };
  return {
    kind,
    inspect: (pg, name, options) => inspect(pg, name, kind, options),
    install: (pg, table, options) =>
      hasTrigger(kind, pollSpecOf(table)) ? installWake(pg, table, options) : holdAsInspected(pg, table, options),
    remove: removeWake,
    installationOf: ({ relation, route }) =>
      JSON.stringify([relation, hasTrigger(kind, route.capture as Pick<PollSpec, 'channel'>)]),
    allocatePosition: () => Promise.reject(new Error('a table that is polled from its first row is never copied')),
    startFromNow: async (pg, table) => {
      const { last } = await readLast(pg, pollSpecOf(table).sequence);
      return { cursor: String(last > READ_AGAIN ? last - READ_AGAIN : -1n) } satisfies PollPosition;
    },
    backlog: readPollBacklog,

    open: (services, stage, content) =>
      open(services, stage, (table, batch, floor, options): RowBatch => ({
        changes: readChanges({ reading: services.reading, table }, batch, { content, floor }, options),
        // What a name lists was on disk before it was named.
        durable: () => Promise.resolve(),
      })),

    openStream: (services, stage, content) =>
      open(
        services,
        stage,
        (table, batch, floor, options): RowStream => ({
          rows: readStream({ reading: services.reading, table }, batch, content, options),
          floor,
          range: { column: physicalNameOf(table, pollSpecOf(table).cursor), ids: batch.ids },
        }),
        STREAM_LIMITS,
      ),
  };
}

function hasTrigger(kind: PollKind, { channel }: Pick<PollSpec, 'channel'>): boolean {
  return kind === NOTIFY && channel === undefined;
}

async function inspect(
  pg: Queryable,
  name: TableName,
  kind: PollKind,
  { cursor: chosen, channel, intervalMs, ...ofTable }: CaptureOptions,
): Promise<Inspection> {
  const title = formatTableName(name);
  if (kind === POLL && channel !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `--channel ${channel} is listened to by --capture notify only.`,
      remedy: 'Use --capture notify, or leave --channel out.',
    });
  try {
    const makes = hasTrigger(kind, { channel }) ? 'trigger' : 'nothing';
    const {
      subscribed,
      triggerLevel: _level,
      isTree: _tree,
      ...inspection
    } = await inspectTable(pg, name, { ...ofTable, makes });
    if (subscribed)
      throw new Failure('UnsuitableTable', {
        message: `A subscription writes to ${title}, with ids that its sequence here never gave out.`,
        remedy: 'Use --capture outbox.',
      });
    await refuseStandby(pg, title);
    const table = { name, ...inspection };
    const cursor = await chooseCursor(pg, table, chosen);
    const sequence = await findSequence(pg, table, cursor);
    await requireIdsThatFit(pg, name, cursor);
    const options = {
      ...(intervalMs === undefined ? {} : { intervalMs }),
      ...(channel === undefined ? {} : { channel }),
    };
    return { ...inspection, capture: { kind, appendOnly: true, cursor, sequence, ...options } };
  } catch (error) {
    throw classifyPostgres(error, `looking at ${title}`);
  }
}

async function refuseStandby(pg: Queryable, title: string): Promise<void> {
  const found = await pg.query<{ standby: boolean }>(/* sql */ `select pg_catalog.pg_is_in_recovery() as standby`);
  if (found.rows[0]?.standby !== true) return;
  throw new Failure('UnsuitableTable', {
    message: `This PostgreSQL server is a standby: running writers of ${title} cannot be seen here.`,
    remedy: 'Connect to the primary.',
  });
}

/**
 * Watching the sequence costs PostgreSQL 0.3 ms for 200 tables together and finds a row within 50 ms; a timer of 1 s would take a
 * statement a table and half a second. Who names an interval gets a timer, and nothing in between.
 */
function wakerOf(services: CaptureServices, { table }: StageContext<PollRow>): Waker {
  const { sequence, intervalMs, channel } = pollSpecOf(table);
  const { kind } = table.route.capture;
  const watch = new WatchWaker(services.watch, sequence);
  if (kind === POLL) return intervalMs === undefined ? watch : new TimerWaker(intervalMs);
  return new NotifyWaker(services.source, services.listener, {
    channel: channel ?? channelOf(table.id),
    sequence,
    intervalMs: intervalMs ?? NOTIFY_INTERVAL_MS,
    flagOf: channel === undefined ? table.id : undefined,
    beside: watch,
    onFlagLost: () =>
      services.log.warn(
        { table: formatTableName(table.name) },
        'the flag of the trigger that notifies is gone: rows are looked for by the timer alone',
      ),
  });
}
