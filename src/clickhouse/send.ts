import { finished } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { ClickHouseError, parseError } from '@clickhouse/client';
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { Failure } from '../failure/failure.js';
import { findObject } from './catalog.js';
import { forgetKnownSettings } from './insert-settings.js';
import { targetNames } from './names.js';

/** Longer answers are cut: it is an error's text, with rows in it. */
const ANSWER_BYTES = 64 * 1024;
const UNKNOWN_SETTING = 115;

export interface Insert {
  /** Up to and including the format. */
  readonly query: string;
  readonly body: Readable;
  readonly settings: ClickHouseSettings;
  readonly signal: AbortSignal;
}

/**
 * Sends one insert and waits for its end. The body always goes chunked: a body with a length that is cut short is
 * inserted as far as it came.
 *
 * @throws the signal's reason when it is aborted; else a Failure. After `SinkUnavailable` nobody knows whether the rows
 *   are in: send the same again.
 */
export async function sendInsert(ch: ClickHouseClient, table: TargetTable, insert: Insert): Promise<void> {
  const { query, body, settings, signal } = insert;
  const names = targetNames(table.target);
  try {
    // The client only listens for an abort to come: one that is past would not stop it.
    signal.throwIfAborted();
    const { stream } = await ch.exec({ query, values: body, clickhouse_settings: settings, abort_signal: signal });
    const answer = await readAnswer(stream, signal);
    // An insert says nothing. What it says under status 200 is an error that came after the headers.
    if (answer !== '') throw parseError(answer);
  } catch (error) {
    body.destroy();
    if (signal.aborted) throw signal.reason;
    if (error instanceof ClickHouseError && Number(error.code) === UNKNOWN_SETTING) forgetKnownSettings(ch);
    const columns = table.columns.map(({ name }) => name);
    const failure = classifyClickHouse(error, `inserting into ${names.shown}`, columns);
    throw failure.kind === 'SinkSetBack' ? await whichTableIsGone(ch, table, failure) : failure;
  }
}

/** Reads to the end, also to give the socket back. A connection that dies before it is an error, not an end. */
async function readAnswer(stream: Readable, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= ANSWER_BYTES) chunks.push(chunk);
  });
  await finished(stream, { signal });
  return Buffer.concat(chunks).toString('utf8').trim();
}

/** "Unknown table" is also what a materialized view on the target says when its own table is gone. */
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
