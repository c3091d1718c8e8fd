import { Transform, pipeline } from 'node:stream';
import type { Readable, TransformCallback } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { targetColumns } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import { copyInsertSettings } from './insert-settings.js';
import { targetNames } from './names.js';
import { sendInsert } from './send.js';

/** COPY sends one piece a row. Joining them saves a system call for each. */
const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const PROGRESS_MS = 1_000;

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** Called with the rows handed over so far, at most once a second. */
  readonly onProgress?: ((rows: number) => void) | undefined;
}

interface Inserted {
  readonly rows: number;
  /** Of the body, before any compression. */
  readonly bytes: number;
}

/**
 * Streams COPY text into the target byte for byte: its escapes are those of TabSeparated. What arrived before a failure
 * may stay: every row carries the position of its copy as version, so repeating it is harmless.
 *
 * @param rows bytes of `copy (..) to stdout`, columns in the order of `targetColumns`; destroyed when this fails
 * @throws the error of `rows` as it is; the signal's reason when it is aborted; else a Failure as `insertValues`
 */
export async function insertCopy(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: Readable,
  options: CopyOptions,
): Promise<Inserted> {
  const { signal } = options;
  const names = targetNames(table.target);
  const columns = targetColumns(table).map(({ name }) => quoteCh(name));
  const query = /* sql */ `insert into ${names.sql.table} (${columns.join(', ')}) format TabSeparated`;
  const gather = new Gather(options.onProgress);
  const sourceFailure = watchSource(rows, gather);
  try {
    const settings = await copyInsertSettings(ch);
    // Ends both when either fails: a COPY that nobody reads would hold its connection.
    const body = pipeline(rows, gather, () => {});
    await sendInsert(ch, table, { query, body, settings, signal });
  } catch (error) {
    rows.destroy();
    if (signal.aborted) throw signal.reason;
    throw sourceFailure() ?? error;
  }
  return { rows: gather.rows, bytes: gather.bytes };
}

/**
 * Finds out which side failed first: either failure destroys the other stream, with the same error.
 * @returns what ended the source before its end, unless the sink was the first
 */
function watchSource(rows: Readable, gather: Gather): () => unknown {
  let failure: unknown = rows.errored ?? undefined;
  rows.once('error', (error) => {
    if (!gather.destroyed) failure = error;
  });
  rows.once('close', () => {
    if (rows.readableEnded || gather.destroyed) return;
    failure ??= new Failure('SourceUnavailable', { message: 'The copy from PostgreSQL broke off before its end.' });
  });
  return () => failure;
}

/** Joins small chunks and counts lines. In COPY text a newline within a value is escaped: each one ends a row. */
class Gather extends Transform {
  rows = 0;
  bytes = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #reportedAt = 0;
  readonly #report: ((rows: number) => void) | undefined;

  constructor(report: ((rows: number) => void) | undefined) {
    super({ writableHighWaterMark: CHUNK_BYTES, readableHighWaterMark: CHUNK_BYTES });
    this.#report = report;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) this.rows += 1;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes < CHUNK_BYTES) return done();
    done(null, this.#take());
    const now = Date.now();
    if (this.#report === undefined || now - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = now;
    this.#report(this.rows);
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#waitingBytes > 0 ? this.#take() : undefined);
  }

  #take(): Buffer {
    const [first] = this.#waiting;
    const chunk = this.#waiting.length === 1 && first !== undefined ? first : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return chunk;
  }
}
