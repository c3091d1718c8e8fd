import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { frontError } from './front-error.js';

/** A body that is complete: on disk, or in memory where it is so small that a file would be half of the work. */
export type Complete =
  | { readonly path: string; readonly bytes: number; remove(): void }
  | { readonly small: Buffer; readonly bytes: number };

/** The client went away in the middle of its body. */
export class BodyCutShort extends Error {
  constructor() {
    super('The body ended before its end');
    this.name = 'BodyCutShort';
  }
}

/** Of a body that may stay in memory. */
const IN_MEMORY_BYTES = 64 * 1024;
// Below this a body is written in one synchronous call (0.1 ms), which spares three hops through the thread pool.
const SMALL_BYTES = 1024 * 1024;

/**
 * Where bodies wait until they are complete. The engine only ever sees a whole file, so a body cut short inserts nothing.
 * A crash leaves files behind that nobody refers to: the folder is emptied at the start.
 */
export class Spool {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  get directory(): string {
    return this.#directory;
  }

  /** A path of its own in the spool. */
  reserve(): string {
    return join(this.#directory, randomUUID());
  }

  /**
   * Takes `head` and the rest of `body`: into a file, unless `mayStay` says of a small one that it is not needed.
   *
   * @throws BodyCutShort
   */
  async store(head: Buffer, body: BodyReader, mayStay: (small: Buffer) => boolean): Promise<Complete> {
    const path = this.reserve();
    const remove = (): void => rmSync(path, { force: true });
    const first = await body.upTo(SMALL_BYTES);
    try {
      if (body.ended) {
        const whole = head.length === 0 ? first : Buffer.concat([head, first]);
        if (whole.length <= IN_MEMORY_BYTES && mayStay(whole)) return { small: whole, bytes: whole.length };
        writeFileSync(path, whole, { mode: 0o600 });
        return { path, bytes: whole.length, remove };
      }
      let bytes = 0;
      const counted = async function* (): AsyncGenerator<Buffer> {
        for (const chunk of [head, first]) if (chunk.length > 0) yield chunk;
        yield* body.rest();
      };
      const count = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
        for await (const chunk of chunks) {
          bytes += chunk.length;
          yield chunk;
        }
      };
      await pipeline(Readable.from(counted(), { objectMode: false }), count, createWriteStream(path, { mode: 0o600 }));
      return { path, bytes, remove };
    } catch (error) {
      remove();
      throw error;
    }
  }
}

/** A request's body, decompressed, read piece by piece. */
export class BodyReader {
  readonly #message: IncomingMessage;
  readonly #chunks: AsyncIterator<Buffer>;
  ended = false;

  /** @throws FrontError NOT_IMPLEMENTED for an encoding that this Node.js does not know */
  constructor(message: IncomingMessage) {
    this.#message = message;
    const decoder = decoderFor(message.headers['content-encoding']);
    if (decoder === undefined) this.#chunks = message.iterator({ destroyOnReturn: false });
    else {
      // A connection that breaks must break the decoder too, or it would wait for more.
      message.once('error', (error) => decoder.destroy(error));
      message.once('aborted', () => decoder.destroy(new BodyCutShort()));
      this.#chunks = message.pipe(decoder).iterator({ destroyOnReturn: false });
    }
  }

  /**
   * At least `bytes` of the body, or all of it (`ended`).
   *
   * @throws BodyCutShort
   */
  async upTo(bytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    while (!this.ended && length < bytes) {
      const chunk = await this.#next();
      if (chunk === undefined) break;
      chunks.push(chunk);
      length += chunk.length;
    }
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
  }

  /** @throws BodyCutShort */
  async *rest(): AsyncGenerator<Buffer> {
    for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) yield chunk;
  }

  async #next(): Promise<Buffer | undefined> {
    if (this.ended) return undefined;
    try {
      const { value, done } = await this.#chunks.next();
      if (done !== true) return value;
    } catch (error) {
      if (this.#message.destroyed && !this.#message.complete) throw new BodyCutShort();
      throw frontError(
        'CANNOT_READ_ALL_DATA',
        `Cannot decompress the body: ${error instanceof Error ? error.message : 'unknown reason'}`,
      );
    }
    // Neither the terminating chunk nor Content-Length bytes arrived, and yet the stream ended.
    if (!this.#message.complete) throw new BodyCutShort();
    this.ended = true;
    return undefined;
  }
}

function decoderFor(encoding: string | undefined): zlib.Gunzip | zlib.BrotliDecompress | undefined {
  switch (encoding?.toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
      return zlib.createGunzip();
    case 'deflate':
      return zlib.createInflate();
    case 'br':
      return zlib.createBrotliDecompress();
    default:
      throw frontError('NOT_IMPLEMENTED', `Content-Encoding ${encoding} is not served: use gzip, deflate or br`);
  }
}
