import { CancelledFailure, Context } from '@temporalio/activity';
import type { SliceProgress, SliceRequest } from '../domain/receipt.js';
import { Failure } from '../failure/failure.js';

/** For an activity that is one piece of work and has no length of its own, such as preparing a table. */
export const UNBOUNDED = 'unbounded';

/** Heartbeats keep a slow insert alive. After this long without any progress they stop, and the slice fails. */
const STALL_TIMEOUT_MS = 5 * 60_000;
const TICK_MS = 1_000;
/** Slices are shorter by up to this share, at random: otherwise slices that began together would all end together. */
const SPREAD = 0.2;
/**
 * How often an idle slice heartbeats: a third of the heartbeat timeout. Each heartbeat is a write of Temporal's server; one a
 * second from 40 idle tables took it an eighth of a core. A pause reaches an idle table with a heartbeat, so it takes as long.
 */
const IDLE_HEARTBEAT_MS = 3_500;
/** How long a cancelled slice may still work on the batch in hand. */
const GRACE_MS = 15_000;
/**
 * How long a slice goes on after Temporal has given it up, because Temporal was away or this process stood still. The next
 * attempt may start up to 9 s after Temporal is back (measured), and fences this one safely. Without this, nothing would move
 * meanwhile. A shutdown of the worker waits for it, well within its 60 s.
 */
const GIVEN_UP_MS = 20_000;

/** One bounded run of a stage. It says when to stop naming batches and when to stop at once, and it reports progress. */
export interface Slice {
  /** No further batch may be named: the time is over, the table is paused, the worker shuts down, or Temporal gave the slice up. */
  readonly ending: AbortSignal;
  /** The same, but for the time: for waits that would begin again in the next slice, and might never end then. */
  readonly stopping: AbortSignal;
  /** Stop at once: the grace is over, or nothing moves any more. */
  readonly signal: AbortSignal;
  /** The number of Temporal's attempt, from 1. */
  readonly attempt: number;
  /** Reports what is shown for a running slice in `pendingActivities`. */
  progress(progress: SliceProgress): void;
}

/**
 * How long a slice runs: `idleMs` while nothing moves, and `sliceMs` from the moment when something does. An idle slice that gets
 * work goes on, and does not end and start again: if many tables get work at once, each start would verify a history first.
 */
type SliceLength = Pick<SliceRequest, 'sliceMs' | 'idleMs'>;

export interface SliceOptions {
  /** Without progress for this long the slice fails, milliseconds; 5 minutes by default. */
  readonly stallTimeoutMs?: number;
  /** How long it goes on after Temporal gave it up, milliseconds; 20 s by default. */
  readonly givenUpMs?: number;
}

/**
 * Runs `body` as a slice of the current activity. A cancelled slice confirms the batch in hand and ends with its receipt. If that
 * takes longer than `GRACE_MS` it is broken off, which is safe at any point, because the batch is named. Unbounded work is told to end
 * as soon as Temporal has given it up: the next attempt starts it again from its beginning.
 */
export async function runSlice<T>(
  length: SliceLength | typeof UNBOUNDED,
  body: (slice: Slice) => Promise<T>,
  { stallTimeoutMs = STALL_TIMEOUT_MS, givenUpMs = GIVEN_UP_MS }: SliceOptions = {},
): Promise<T> {
  const context = Context.current();
  const hard = new AbortController();
  let latest: SliceProgress | undefined;
  const startedAt = Date.now();
  let movedAt = startedAt;
  const over = new AbortController();
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const endWhen = (idle: boolean): void => {
    if (length === UNBOUNDED) return;
    const { sliceMs, idleMs = sliceMs } = length;
    const leftMs = idle ? startedAt + idleMs - Date.now() : sliceMs * (1 - Math.random() * SPREAD);
    clearTimeout(timer);
    timer = setTimeout(() => over.abort(), Math.max(0, leftMs));
  };
  endWhen(false);
  let isGivenUp = false;
  const finish = (): void => {
    stop.abort();
    over.abort();
    setTimeout(() => hard.abort(context.cancellationSignal.reason), GRACE_MS).unref();
  };
  const onCancel = (): void => {
    const { timedOut = false, notFound = false } = context.cancellationDetails ?? {};
    isGivenUp = (timedOut || notFound) && length !== UNBOUNDED;
    if (isGivenUp) setTimeout(finish, givenUpMs).unref();
    else finish();
  };
  context.cancellationSignal.addEventListener('abort', onCancel, { once: true });
  let beatAt = 0;
  const heartbeat = (): void => {
    if (isGivenUp || (isIdle(latest) && Date.now() - beatAt < IDLE_HEARTBEAT_MS)) return;
    beatAt = Date.now();
    context.heartbeat(latest);
  };
  const tick = setInterval(() => {
    if (Date.now() - movedAt < stallTimeoutMs) heartbeat();
    else hard.abort(new Failure('NoProgress', { message: `Nothing moved for ${stallTimeoutMs / 1_000} seconds.` }));
  }, TICK_MS);
  try {
    return await body({
      ending: over.signal,
      stopping: stop.signal,
      signal: hard.signal,
      attempt: context.info.attempt,
      progress: (progress) => {
        const wasIdle = isIdle(latest);
        latest = progress;
        movedAt = Date.now();
        if (isIdle(latest) !== wasIdle) endWhen(!wasIdle);
      },
    });
  } catch (error) {
    if (hard.signal.aborted && !(hard.signal.reason instanceof Failure))
      throw new CancelledFailure(
        `The activity was cancelled and had not ended ${GRACE_MS / 1_000} s later. What it had in hand is done again by the next attempt.`,
      );
    throw hard.signal.aborted ? hard.signal.reason : error;
  } finally {
    clearInterval(tick);
    clearTimeout(timer);
    context.cancellationSignal.removeEventListener('abort', onCancel);
  }
}

function isIdle(progress: SliceProgress | undefined): boolean {
  return progress !== undefined && progress.batches === 0 && progress.waiting === 0;
}
