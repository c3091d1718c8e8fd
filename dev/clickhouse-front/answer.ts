import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import zlib from 'node:zlib';
import type { Identity, Outcome } from './engine.js';
import { errorText, type FrontError } from './front-error.js';
import { statusOf } from './status.js';

/** The counters of X-ClickHouse-Summary; zero where the engine does not tell. */
export interface Summary {
  readonly readRows: number;
  readonly readBytes: number;
  readonly writtenRows: number;
  readonly writtenBytes: number;
  readonly elapsedNs: number;
}

const CONTENT_TYPES: ReadonlyArray<readonly [pattern: RegExp, type: string]> = [
  [/^JSON\w*EachRow/i, 'application/x-ndjson; charset=UTF-8'],
  [/^JSON/i, 'application/json; charset=UTF-8'],
  [/^CSV/i, 'text/csv; charset=UTF-8'],
  [/^(?:TabSeparated|TSV)/i, 'text/tab-separated-values; charset=UTF-8'],
  [/^(?:Native|RowBinary|Parquet|Arrow|ORC|Avro|Npy|MsgPack|BSON)/i, 'application/octet-stream'],
];

type Encoding = 'gzip' | 'deflate' | 'br';

/** The answer to one request, in the server's headers. */
export class Answer {
  readonly response: ServerResponse;
  readonly queryId: string;
  readonly #identity: Identity;
  readonly #encoding: Encoding | undefined;
  // What tells an exception in the middle of a result from rows that look like one.
  readonly #exceptionTag = randomBytes(8).toString('hex');
  #out: Writable | undefined;
  #zip: zlib.Gzip | zlib.Deflate | zlib.BrotliCompress | undefined;

  constructor(response: ServerResponse, identity: Identity, queryId: string, encoding: Encoding | undefined) {
    this.response = response;
    this.queryId = queryId;
    this.#identity = identity;
    this.#encoding = encoding;
  }

  get begun(): boolean {
    return this.#out !== undefined;
  }

  /** Sends the headers of a success; rows follow by `write`. */
  begin(format: string | undefined, summary: Summary): void {
    this.response.writeHead(200, {
      ...this.#headers(summary),
      ...(format === undefined ? {} : { 'X-ClickHouse-Format': format }),
      'Content-Type': CONTENT_TYPES.find(([pattern]) => pattern.test(format ?? ''))?.[1] ?? 'text/plain; charset=UTF-8',
      ...(this.#encoding === undefined ? {} : { 'Content-Encoding': this.#encoding, Vary: 'Accept-Encoding' }),
    });
    this.#zip = this.#encoding === undefined ? undefined : compressor(this.#encoding);
    this.#zip?.pipe(this.response);
    this.#out = this.#zip ?? this.response;
  }

  /** Waits while the client is slow. Rejects when `signal` says that it is gone. */
  async write(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#out?.write(chunk) === false) await once(this.#out, 'drain', { signal });
  }

  end(): void {
    this.#out?.end();
  }

  /** A whole success at once. */
  whole(format: string | undefined, summary: Summary, body: Uint8Array): void {
    this.begin(format, summary);
    this.#out?.end(body);
  }

  /** An error instead of a result. Once rows are out: a marked exception, and a response without its end. */
  fail(error: FrontError): void {
    const text = errorText(error, this.#identity.version);
    if (this.begun) {
      this.#breakOff(text);
      return;
    }
    const body = Buffer.from(text, 'utf8');
    this.response.writeHead(statusOf(error.type), {
      ...this.#headers(undefined),
      'X-ClickHouse-Exception-Code': String(error.code),
      'Content-Type': 'text/plain; charset=UTF-8',
      'Content-Length': body.length,
    });
    this.response.end(body);
  }

  #breakOff(text: string): void {
    const message = `${text.trimEnd()}\n`;
    const tag = this.#exceptionTag;
    const block = `\r\n__exception__\r\n${tag}\r\n${message}${Buffer.byteLength(message)} ${tag}\r\n__exception__\r\n`;
    // The missing last chunk makes the response an error also for clients that do not know the mark.
    const hangUp = (): unknown => this.response.socket?.end();
    if (this.#zip === undefined) this.response.write(block, hangUp);
    else {
      this.#zip.write(block);
      this.#zip.flush(() => setImmediate(() => this.response.write('', hangUp)));
    }
  }

  #headers(summary: Summary | undefined): Record<string, string> {
    return {
      'X-ClickHouse-Query-Id': this.queryId,
      'X-ClickHouse-Server-Display-Name': this.#identity.displayName,
      'X-ClickHouse-Timezone': this.#identity.timezone,
      'X-ClickHouse-Exception-Tag': this.#exceptionTag,
      ...(summary === undefined ? {} : { 'X-ClickHouse-Summary': summaryText(summary) }),
    };
  }
}

/** What a query read, or an insert wrote. */
export function summaryOf(outcome: Outcome | undefined, wrote: boolean): Summary {
  const { rows = 0, bytes = 0, elapsedNs = 0 } = outcome ?? {};
  return {
    readRows: rows,
    readBytes: bytes,
    writtenRows: wrote ? rows : 0,
    writtenBytes: wrote ? bytes : 0,
    elapsedNs,
  };
}

function summaryText(summary: Summary): string {
  const { readRows, readBytes, writtenRows, writtenBytes, elapsedNs } = summary;
  return JSON.stringify({
    read_rows: String(readRows),
    read_bytes: String(readBytes),
    written_rows: String(writtenRows),
    written_bytes: String(writtenBytes),
    total_rows_to_read: '0',
    result_rows: String(writtenRows),
    result_bytes: String(writtenBytes),
    elapsed_ns: String(elapsedNs),
  });
}

/** What to compress with: the first of Accept-Encoding that Node.js knows. */
export function encodingOf(accepted: string | undefined): Encoding | undefined {
  const names = (accepted ?? '').split(',').map((name) => name.split(';')[0]?.trim().toLowerCase());
  return (['gzip', 'br', 'deflate'] as const).find((encoding) => names.includes(encoding));
}

function compressor(encoding: Encoding): zlib.Gzip | zlib.Deflate | zlib.BrotliCompress {
  // The server's default level is 3 too.
  if (encoding === 'gzip') return zlib.createGzip({ level: 3 });
  if (encoding === 'deflate') return zlib.createDeflate({ level: 3 });
  return zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } });
}
