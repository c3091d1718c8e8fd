import { CancelledFailure, Context } from '@temporalio/activity';
import type { SliceProgress, SliceRequest } from '../domain/receipt.js';
import { Failure } from '../failure/failure.js';

/** For what is one piece of work, however long. */
export const UNBOUNDED = 'unbounded';

/** A tick keeps a slow insert alive; it stops, and the slice fails, when nothing at all has moved for this long. */
const STALL_TIMEOUT_MS = 5 * 60_000;
const TICK_MS = 1_000;
/** Slices of tables that were woken together do not all end together: they are shorter by up to this share. */
const SPREAD = 0.2;
/**
 * Each heartbeat is a write of Temporal's server: of 40 idle tables, at every tick, they took it an eighth of a core. A third
 * of the heartbeat timeout; a cancellation, which travels with the answer, takes as long to reach an idle table.
 */
const IDLE_HEARTBEAT_MS = 3_500;
/** How long a cancelled slice may still work on the batch in hand. */
const GRACE_MS = 15_000;
/**
 * A slice that Temporal gave up, because it was away itself or this process stood still, goes on for so long: the attempt that
 * follows fences it, and came up to 9 s after Temporal did (measured), in which nothing would move. A shutdown of the worker waits
 * for it: well within the 60 s that it may take.
 */
const GIVEN_UP_MS = 20_000;

/** One bounded run of a stage: it says when to stop naming batches, when to drop everything, and tells how it goes. */
export interface Slice {
  /** No further batch may be named: the time is over, the table is paused, the worker shuts down, or Temporal gave it up long ago. */
  readonly ending: AbortSignal;
  /** Stop at once: the grace is over, or nothing moves any more. */
  readonly signal: AbortSignal;
  /** Of Temporal's: 1 unless the one before failed. */
  readonly attempt: number;
  /** Shown in `pendingActivities`, so that a running slice can be looked at. */
  progress(progress: SliceProgress): void;
}

/**
 * How long a slice runs: `sliceMs` from when something moved or waited for the first time, and `idleMs` while nothing does. An
 * idle one that is woken goes on: where many tables are woken at once, all of them would have their histories looked at instead.
 */
type SliceLength = Pick<SliceRequest, 'sliceMs' | 'idleMs'>;

export interface SliceOptions {
  /** Without progress for this long the slice fails, milliseconds; 5 minutes by default. */
  readonly stallTimeoutMs?: number;
  /** How long it goes on after Temporal gave it up, milliseconds; 20 s by default. */
  readonly givenUpMs?: number;
}

/**
 * Runs `body` as a slice of the current activity. A cancelled slice ends with its receipt once the batch in hand is
 * confirmed; only when that takes longer than the grace is it broken off, which is safe at any point: the batch is named. What is
 * one piece of work ends as soon as Temporal gave it up: the next attempt begins it anew.
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
        'The slice was cancelled with a batch in hand; it is named and will be taken up again.',
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
