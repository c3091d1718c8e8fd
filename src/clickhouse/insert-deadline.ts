const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/**
 * How long an insert waits for its response. An insert takes seconds; a longer silence may be a dead connection. For inserts that
 * really need longer the limit doubles with each attempt.
 */
const FIRST_TIMEOUT_MS = 30 * SECOND;
const LAST_TIMEOUT_MS = 5 * MINUTE;

/** @param attempt 1 for the first try to insert these rows */
export function insertTimeoutMs(attempt: number): number {
  return Math.min(LAST_TIMEOUT_MS, FIRST_TIMEOUT_MS * 2 ** (attempt - 1));
}

/** @param shown the table; @returns the message of an insert that waited `timeoutMs` */
export function noAnswer(shown: string, timeoutMs: number): string {
  return `ClickHouse gave no answer within ${timeoutMs / SECOND} s while inserting into ${shown}.`;
}
