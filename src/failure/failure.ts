import type { FailureKind } from './kinds.js';

/** A server that a failure comes from. The ledger's, also where it lies in the database of the tables. */
export type FailingServer = 'postgresql' | 'ledger' | 'kafka' | 'registry' | 'clickhouse' | 'temporal';

/** A failure beside its kind. It holds no row value and no secret. */
export interface FailureDetail {
  /** One sentence: what happened and where. */
  readonly message: string;
  /** What to do about it; the kind's own remedy when absent. */
  readonly remedy?: string | undefined;
  readonly cause?: unknown;
  /** The sentence for the log, where the message repeats what a person has given: keys are in no log. */
  readonly logged?: string | undefined;
  /** That answered it, where the kind does not say. */
  readonly server?: FailingServer | undefined;
}

/** The one error class of pg2click: a kind of the closed set in `kinds.ts` and a sentence for a person. */
export class Failure extends Error {
  readonly kind: FailureKind;
  readonly remedy: string | undefined;
  readonly logged: string | undefined;
  readonly server: FailingServer | undefined;

  constructor(kind: FailureKind, detail: FailureDetail) {
    // The cause is kept for code (`instanceof`, SQLSTATE) but not enumerable: servers echo row values in their texts.
    super(detail.message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'Failure';
    this.kind = kind;
    this.remedy = detail.remedy;
    this.logged = detail.logged;
    this.server = detail.server;
  }

  /** The same failure, with what to do about it. */
  withRemedy(remedy: string): Failure {
    const { kind, message, cause, logged, server } = this;
    const advised = new Failure(kind, { message, remedy, cause, logged, server });
    Object.defineProperty(advised, 'stack', { value: this.stack, configurable: true });
    return advised;
  }
}
