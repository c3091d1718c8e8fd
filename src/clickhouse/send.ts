import { finished } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { ClickHouseError, parseError } from '@clickhouse/client';
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { physicalName, shownName, type TargetTable } from '../domain/replicated-table.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { Failure } from '../failure/failure.js';
import { findObject } from './catalog.js';
import { forgetKnownSettings } from './insert-settings.js';
import { targetNames } from './names.js';

/** Longer responses are cut: they are the text of an error, with rows in it. */
const RESPONSE_BYTES = 64 * 1024;
const UNKNOWN_SETTING = 115;
/** Balancers take URLs of 8 KB, or 16; a statement with hundreds of column names is longer, and the settings need 3 KB of it. */
const LONGEST_IN_URL = 2_000;

export interface Insert {
  /** Up to and including the format. */
  readonly query: string;
  readonly body: Readable;
  readonly settings: ClickHouseSettings;
  readonly signal: AbortSignal;
}

/**
 * Sends one insert and waits for its end. The body is always chunked: of a body with a length that is cut short, ClickHouse
 * inserts the part that came.
 *
 * @throws the signal's reason when it is aborted; else a Failure. After `SinkUnavailable` the rows may be in or not: send the same
 *   again.
 */
export async function sendInsert(ch: ClickHouseClient, table: TargetTable, insert: Insert): Promise<void> {
  const { query, body, settings, signal } = insert;
  const names = targetNames(table.target);
  try {
    // The client does not notice a signal that is aborted already.
    signal.throwIfAborted();
    const isLong = query.length > LONGEST_IN_URL;
    // ClickHouse reads the statement from the URL, and goes on with the body: it may as well be all in the body.
    if (isLong) body.unshift(Buffer.from(`${query}\n`));
    const values = { values: body, clickhouse_settings: settings, abort_signal: signal };
    const { stream } = await ch.exec({ query: isLong ? '' : query, ...values });
    const response = await readResponse(stream, signal);
    // A good insert has an empty response. A text under status 200 is an error that came after the headers.
    if (response !== '') throw parseError(response);
  } catch (error) {
    body.destroy();
    if (signal.aborted) throw signal.reason;
    if (error instanceof ClickHouseError && Number(error.code) === UNKNOWN_SETTING) forgetKnownSettings(ch);
    // An INSERT .. SELECT reads them by their names in messages.
    const columns = [...new Set(table.columns.flatMap((column) => [physicalName(column), shownName(column)]))];
    const failure = classifyClickHouse(error, `inserting into ${names.shown}`, columns);
    throw failure.kind === 'SinkSetBack' ? await whichTableIsGone(ch, table, failure) : failure;
  }
}

/** Reads to the end, which also gives the socket back. @throws if the connection dies before that */
async function readResponse(stream: Readable, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= RESPONSE_BYTES) chunks.push(chunk);
  });
  await finished(stream, { signal });
  return Buffer.concat(chunks).toString('utf8').trim();
}

/** ClickHouse says "unknown table" also if a materialized view on the target writes to a table that is gone. */
async function whichTableIsGone(ch: ClickHouseClient, table: TargetTable, failure: Failure): Promise<Failure> {
  const names = targetNames(table.target);
  if ((await findObject(ch, table.target.database, names.table)) === undefined)
    return new Failure('SinkSetBack', {
      message: `The ClickHouse table ${names.shown} is not there any more, nor is what was loaded into it.`,
      cause: failure,
    });
  return new Failure('SchemaMismatch', {
    message: `The ClickHouse table ${names.shown} is there, but a materialized view on it writes to a table that is not.`,
    remedy: 'Repair or drop that materialized view, then resume.',
    cause: failure,
  });
}
