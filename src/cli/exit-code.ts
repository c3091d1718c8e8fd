import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';

/** What a command's exit code means; `pg2click --help` prints this table. */
export const EXIT_CODES = {
  done: [0, 'done'],
  failed: [1, 'failed for a reason that is not below'],
  usage: [2, 'wrong usage or settings: an argument, a name in .env, a password, a database that is not there'],
  unreachable: [3, 'a server cannot be reached'],
  unhealthy: [4, 'a table is parked, is being retried, or nothing works on it'],
  unsuitable: [5, 'the table is not there, cannot be replicated, has other options, or is not replicated'],
  waiting: [6, 'accepted, and it waits: for a worker, since none is running, or for `resume` of a paused table'],
  interrupted: [130, 'interrupted'],
} as const;

export type Exit = keyof typeof EXIT_CODES;

export function exitCode(exit: Exit): number {
  return EXIT_CODES[exit][0];
}

const EXIT_OF_KIND: Partial<Record<FailureKind, Exit>> = {
  Misconfigured: 'usage',
  Unauthorized: 'usage',
  LoginRefused: 'usage',
  SourceUnavailable: 'unreachable',
  LedgerUnavailable: 'unreachable',
  BrokerUnavailable: 'unreachable',
  RegistryUnavailable: 'unreachable',
  SinkUnavailable: 'unreachable',
  TemporalUnavailable: 'unreachable',
  MissingTable: 'unsuitable',
  UnsuitableTable: 'unsuitable',
  UnsupportedType: 'unsuitable',
  TargetTaken: 'unsuitable',
  SchemaRefused: 'unsuitable',
};

export function exitOf(error: unknown): Exit {
  return error instanceof Failure ? (EXIT_OF_KIND[error.kind] ?? 'failed') : 'failed';
}
