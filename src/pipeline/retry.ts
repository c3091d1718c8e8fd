import pRetry from 'p-retry';
import { Failure } from '../failure/failure.js';
import { policyOf, type FailureKind } from '../failure/kinds.js';
import type { Slice } from './slice.js';

export interface RetryPolicy {
  readonly tries: number;
  /** What is sat out; by default all that passes by itself. */
  readonly kinds?: readonly FailureKind[];
}

/** 18 s. */
const SINK_RETRY: RetryPolicy = { tries: 12 };
/** As long: a producer tries for 3 s by itself each time. What befalls the source or the ledger is not ours to sit out. */
export const BROKER_RETRY: RetryPolicy = { tries: 5, kinds: ['BrokerUnavailable'] };

/**
 * Short outages are sat out inside the slice, with the same batch in hand: the table flows again within seconds, and nobody
 * reads of a failure. What lasts longer is Temporal's to retry and the UI's to show; each attempt begins as patiently, so that
 * the pauses between attempts, which grow to 10 s, are the smaller part of the time.
 *
 * With 2 s at most between two tries: a refused connection costs nothing.
 */
export function retryTransient<T>(
  slice: Pick<Slice, 'ending'>,
  work: (tries: number) => Promise<T>,
  { tries, kinds }: RetryPolicy = SINK_RETRY,
): Promise<T> {
  return pRetry(work, {
    retries: tries - 1,
    minTimeout: 250,
    factor: 2,
    maxTimeout: 2_000,
    // Not by `signal`: p-retry then reports a batch that came through as aborted.
    shouldRetry: ({ error }) =>
      !slice.ending.aborted &&
      error instanceof Failure &&
      policyOf(error.kind).treatment === 'transient' &&
      (kinds === undefined || kinds.includes(error.kind)),
  });
}
