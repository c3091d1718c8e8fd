import type { FailureKind } from './kinds.js';

/** What a gRPC status of Temporal means. */
export interface GrpcStatus {
  readonly name: string;
  readonly kind: FailureKind;
  /** The end of a sentence that begins with Temporal and its address; absent where the server is just silent. */
  readonly said?: string;
  readonly remedy?: string;
}

const LIMITED = 'Raise the rate limit of the namespace, or run fewer tables in it. Tables go on by themselves.';
const OLD = 'Install a Temporal that the README names.';

/**
 * Every gRPC status that Temporal can answer with, by number. Those that the client gives itself when nobody answers are CANCELLED,
 * DEADLINE_EXCEEDED and UNAVAILABLE. INVALID_ARGUMENT and its like are faults of ours.
 */
export const GRPC_STATUSES: Readonly<Record<number, GrpcStatus>> = {
  1: { name: 'CANCELLED', kind: 'TemporalUnavailable' },
  2: { name: 'UNKNOWN', kind: 'TemporalUnavailable', said: 'failed for a reason that it does not name' },
  3: { name: 'INVALID_ARGUMENT', kind: 'Unexpected', said: 'does not understand the request' },
  4: { name: 'DEADLINE_EXCEEDED', kind: 'TemporalUnavailable' },
  5: { name: 'NOT_FOUND', kind: 'Misconfigured' },
  6: { name: 'ALREADY_EXISTS', kind: 'Unexpected', said: 'has what was to be made' },
  7: { name: 'PERMISSION_DENIED', kind: 'Unauthorized' },
  8: { name: 'RESOURCE_EXHAUSTED', kind: 'TemporalUnavailable', said: 'takes no more requests now', remedy: LIMITED },
  9: { name: 'FAILED_PRECONDITION', kind: 'TemporalUnavailable', said: 'is not in a state to do this' },
  10: { name: 'ABORTED', kind: 'TemporalUnavailable', said: 'gave the request up' },
  11: { name: 'OUT_OF_RANGE', kind: 'Unexpected', said: 'does not take a number of the request' },
  12: { name: 'UNIMPLEMENTED', kind: 'Misconfigured', said: 'does not know the request', remedy: OLD },
  13: { name: 'INTERNAL', kind: 'TemporalUnavailable', said: 'met a fault of its own' },
  14: { name: 'UNAVAILABLE', kind: 'TemporalUnavailable' },
  15: { name: 'DATA_LOSS', kind: 'TemporalUnavailable', said: 'lost data of its own' },
  16: { name: 'UNAUTHENTICATED', kind: 'Unauthorized' },
};
