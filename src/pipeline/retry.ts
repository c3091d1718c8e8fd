import pRetry from 'p-retry';
import { Failure } from '../failure/failure.js';
import { policyOf, type FailureKind } from '../failure/kinds.js';
import type { Slice } from './slice.js';

/** Which failures a stage retries by itself, and how often. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly kinds: readonly FailureKind[];
}

/** 18 s in all. An overloaded ClickHouse (`SinkBusy`) needs longer pauses: Temporal makes those. */
export const SINK_RETRY: RetryPolicy = { attempts: 12, kinds: ['SinkUnavailable'] };
/** 18 s too: the producer itself retries for 3 s in each attempt. */
export const BROKER_RETRY: RetryPolicy = { attempts: 5, kinds: ['BrokerUnavailable'] };
/** For a chunk of a copy, which is read again alone. */
export const CHUNK_RETRY: RetryPolicy = { attempts: 12, kinds: ['SinkUnavailable', 'SourceUnavailable'] };

const FIRST_PAUSE_MS = 250;
/** Rows flow within 2 s of a server's return. A refused connection costs next to nothing. */
const LONGEST_PAUSE_MS = 2_000;

/**
 * Retries short outages inside the slice, with the same batch in hand: rows flow again within seconds, and no failure is shown.
 * A longer outage is retried and shown by Temporal. Each of its attempts retries here again, so most of the time is spent here
 * and not in Temporal's pauses, which grow to 10 s.
 *
 * Failures of other kinds are thrown at once, and every failure once the slice is ending.
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
    // Not by p-retry's `signal`: it would report a batch that was written as aborted.
    shouldRetry: ({ error }) =>
      !slice.ending.aborted &&
      error instanceof Failure &&
      policyOf(error.kind).treatment === 'transient' &&
      kinds.includes(error.kind),
  });
}
