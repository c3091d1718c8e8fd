import { Transform, pipeline } from 'node:stream';
import type { TransformCallback } from 'node:stream';
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { targetColumns } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import type { RowText } from '../pipeline/row-batch.js';
import { noAnswer } from './insert-deadline.js';
import { targetNames } from './names.js';
import { sendInsert } from './send.js';

/** What a source gives in small pieces is joined: each write costs a system call. */
const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const PROGRESS_MS = 1_000;

export interface TextOptions {
  /** Up to and including the format; by default one that names the columns of `targetColumns`. */
  readonly query?: string;
  readonly settings: Promise<ClickHouseSettings>;
  readonly signal: AbortSignal;
  /** How long ClickHouse may take no bytes and give no answer, milliseconds; for ever by default. */
  readonly timeoutMs?: number;
  /** Called with the rows handed over so far, at most once a second. */
  readonly onProgress?: ((rows: number) => void) | undefined;
}

export interface InsertedText {
  readonly rows: number;
  /** Of the body, before any compression. */
  readonly bytes: number;
}

/**
 * Streams COPY text into the target byte for byte: its escapes are those of TabSeparated. What arrived before a failure may stay:
 * only for rows with versions, of which a repeat is harmless.
 *
 * @param rows bytes of `copy (..) to stdout`, columns in the order of `targetColumns`; destroyed when this fails
 * @throws the error of `rows` as it is; the signal's reason when it is aborted; else a Failure as `insertValues`
 */
export async function insertText(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: RowText,
  { query = plainInsert(table), settings, signal, timeoutMs, onProgress }: TextOptions,
): Promise<InsertedText> {
  const names = targetNames(table.target);
  const gather = new Gather(rows, onProgress);
  const sourceFailure = watchSource(rows, gather);
  const silence = new AbortController();
  const watching = timeoutMs === undefined ? undefined : watchSilence(gather, timeoutMs, () => silence.abort());
  try {
    const known = await settings;
    // Ends both when either fails: a COPY that nobody reads would hold its connection.
    const body = pipeline(rows, gather, () => {});
    await sendInsert(ch, table, { query, body, settings: known, signal: AbortSignal.any([signal, silence.signal]) });
  } catch (error) {
    rows.destroy();
    if (signal.aborted) throw signal.reason;
    if (silence.signal.aborted)
      throw new Failure('SinkUnavailable', { message: noAnswer(names.shown, timeoutMs ?? 0) });
    throw sourceFailure() ?? error;
  } finally {
    clearInterval(watching);
  }
  return { rows: gather.rows, bytes: gather.bytes };
}

function plainInsert(table: TargetTable): string {
  const columns = targetColumns(table).map(({ name }) => quoteCh(name));
  return /* sql */ `insert into ${targetNames(table.target).sql.table} (${columns.join(', ')}) format TabSeparated`;
}

/** How often a body is looked at within its time limit. */
const LOOKS = 10;

/** Time in which the body waits for its source is not counted. */
function watchSilence(gather: Gather, timeoutMs: number, onSilence: () => void): NodeJS.Timeout {
  let silentLooks = 0;
  let seen = -1;
  return setInterval(() => {
    const isOurs = gather.bytes !== seen || (gather.readableLength === 0 && !gather.writableFinished);
    seen = gather.bytes;
    silentLooks = isOurs ? 0 : silentLooks + 1;
    if (silentLooks >= LOOKS) onSilence();
  }, timeoutMs / LOOKS);
}

/**
 * Finds out which side failed first: either failure destroys the other stream, with the same error.
 * @returns what ended the source before its end, unless the sink was the first
 */
function watchSource(rows: RowText, gather: Gather): () => unknown {
  let failure: unknown = rows.errored ?? undefined;
  rows.once('error', (error) => {
    if (!gather.destroyed) failure = error;
  });
  rows.once('close', () => {
    if (rows.readableEnded || gather.destroyed) return;
    failure ??= new Failure('SourceUnavailable', { message: 'The rows from PostgreSQL broke off before their end.' });
  });
  return () => failure;
}

/**
 * Joins small chunks. Rows are counted where their source does not say how many have come: in COPY text a newline within a value is
 * escaped, so each one ends a row. To count them costs 0.1 core-seconds a million.
 */
class Gather extends Transform {
  bytes = 0;
  #lines = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #reportedAt = 0;
  readonly #source: RowText;
  readonly #report: ((rows: number) => void) | undefined;

  constructor(source: RowText, report: ((rows: number) => void) | undefined) {
    super({ writableHighWaterMark: CHUNK_BYTES, readableHighWaterMark: CHUNK_BYTES });
    this.#source = source;
    this.#report = report;
  }

  get rows(): number {
    return this.#source.rows ?? this.#lines;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    if (this.#source.rows === undefined)
      for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) this.#lines += 1;
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
