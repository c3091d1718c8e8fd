import { Failure } from '../failure/failure.js';

/** What a log may say of an error. */
export interface ErrorShape {
  readonly name: string;
  readonly message?: string;
  readonly kind?: string;
  readonly remedy?: string;
  /** SQLSTATE, errno name or server code. */
  readonly code?: string;
  /** Where it was thrown, without the first line. */
  readonly stack?: string;
  readonly cause?: ErrorShape;
}

/** Errors whose text quotes what was sent: servers and parsers echo row values. */
const ECHOING = /^(?:DatabaseError|error|PostgresError|ClickHouseError|SyntaxError)$/u;

/**
 * An error without anything that may hold a row's value: of errors that quote their input only name and code remain. The
 * stack is kept only for what is no `Failure`: a failure's sentence says all, a bug needs its place.
 */
export function describeError(error: Error, depth = 0): ErrorShape {
  const failure = error instanceof Failure;
  const code = 'code' in error && ['string', 'number'].includes(typeof error.code) ? String(error.code) : undefined;
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /u.test(line));
  const cause = error.cause instanceof Error && depth < 4 ? describeError(error.cause, depth + 1) : undefined;
  return {
    name: error.name,
    ...(ECHOING.test(error.name) || ECHOING.test(error.constructor.name) ? {} : { message: error.message }),
    ...(failure ? { kind: error.kind } : {}),
    ...(failure && error.remedy !== undefined ? { remedy: error.remedy } : {}),
    ...(code === undefined ? {} : { code }),
    ...(failure || depth > 0 || frames === undefined ? {} : { stack: frames.join('\n') }),
    ...(cause === undefined ? {} : { cause }),
  };
}
