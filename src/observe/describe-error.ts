import { errorChain } from '../failure/error-chain.js';
import { Failure } from '../failure/failure.js';

/** What a log may say of an error. */
export interface ErrorShape {
  readonly name: string;
  readonly message?: string;
  readonly kind?: string;
  readonly remedy?: string;
  /** SQLSTATE, errno name or server code. */
  readonly code?: string;
  /** What else a server says without a row's value: names of its objects, and the place in its own source. */
  readonly facts?: Readonly<Record<string, string>>;
  /** Where it was thrown, without the first line. */
  readonly stack?: string;
  readonly cause?: ErrorShape;
}

/** Errors whose text quotes what was sent: servers and parsers echo row values. */
const ECHOING = /^(?:DatabaseError|error|PostgresError|ClickHouseError|SyntaxError)$/u;

/** Of `pg`: names of objects, and the function of the server that raised it. Its `detail`, `hint` and `where` may quote a row. Of kafkajs: `type`. */
const FACTS = [
  'severity',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'routine',
  'type',
  'syscall',
] as const;

/**
 * An error without anything that may hold a row's value: of errors that quote their input only name, code and names of objects remain.
 * Of a known failure the sentence says all, so its stack is left out. A fault of ours needs its place, and that of each of its causes.
 */
export function describeError(error: Error): ErrorShape {
  const chain = errorChain(error).filter((link) => link instanceof Error);
  const isKnown = error instanceof Failure && error.kind !== 'Unexpected';
  return chain.reduceRight<ErrorShape | undefined>(
    (cause, link) => describeLink(link, { cause, stack: !isKnown }),
    undefined,
  ) as ErrorShape;
}

function describeLink(error: Error, { cause, stack }: { cause: ErrorShape | undefined; stack: boolean }): ErrorShape {
  const failure = error instanceof Failure;
  const code = 'code' in error && ['string', 'number'].includes(typeof error.code) ? String(error.code) : undefined;
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /u.test(line)) ?? [];
  const facts = factsOf(error);
  return {
    name: error.name,
    ...(ECHOING.test(error.name) || ECHOING.test(error.constructor.name) ? {} : { message: error.message }),
    ...(failure ? { kind: error.kind } : {}),
    ...(failure && error.remedy !== undefined ? { remedy: error.remedy } : {}),
    ...(code === undefined ? {} : { code }),
    ...(Object.keys(facts).length === 0 ? {} : { facts }),
    ...(stack && frames.length > 0 ? { stack: frames.join('\n') } : {}),
    ...(cause === undefined ? {} : { cause }),
  };
}

function factsOf(error: Error): Record<string, string> {
  return Object.fromEntries(
    FACTS.flatMap((name) => {
      const value = (error as unknown as Record<string, unknown>)[name];
      return typeof value === 'string' && value !== '' ? [[name, value]] : [];
    }),
  );
}
