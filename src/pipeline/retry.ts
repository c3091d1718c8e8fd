import pRetry from 'p-retry';
import { Failure } from '../failure/failure.js';
import { policyOf, type FailureKind } from '../failure/kinds.js';
import type { Slice } from './slice.js';

/** Which failures a stage retries by itself, and how often. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly kinds: readonly FailureKind[];
}

/** 18 s. A ClickHouse that is overloaded (`SinkBusy`) wants longer pauses: those are Temporal's. */
export const SINK_RETRY: RetryPolicy = { attempts: 12, kinds: ['SinkUnavailable'] };
/** As long: a producer retries for 3 s by itself each time. */
export const BROKER_RETRY: RetryPolicy = { attempts: 5, kinds: ['BrokerUnavailable'] };
/** For content that is worth reading again only from its beginning. */
export const NO_RETRY: RetryPolicy = { attempts: 1, kinds: [] };

const FIRST_PAUSE_MS = 250;
/** A refused connection costs nothing, and rows flow within 2 s of a server's return. */
const LONGEST_PAUSE_MS = 2_000;

/**
 * Retries short outages inside the slice, with the same batch in hand: the table flows again within seconds, and no failure is
 * shown. What lasts longer is Temporal's to retry and to show; each of its attempts retries as long again, so that the pauses
 * between attempts, which grow to 10 s, are the smaller part of the time.
 *
 * Failures of the other kinds are thrown at once. So is everything once the slice is ending.
 * @param work gets the number of the attempt, from 1
 */
export function retryTransient<T>(
  slice: Pick<Slice, 'ending'>,
  work: (attempt: number) => Promise<T>,
  { attempts, kinds }: RetryPolicy,
): Promise<T> {
  return pRetry(work, {
    retries: attempts - 1,
    minTimeout: FIRST_PAUSE_MS,
    factor: 2,
    maxTimeout: LONGEST_PAUSE_MS,
    // Not by `signal`: p-retry then reports a batch that came through as aborted.
    shouldRetry: ({ error }) =>
      !slice.ending.aborted &&
      error instanceof Failure &&
      policyOf(error.kind).treatment === 'transient' &&
      kinds.includes(error.kind),
  });
}
