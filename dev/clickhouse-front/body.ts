import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { frontError } from './front-error.js';

/** The client went away in the middle of its body. */
export class BodyCutShort extends Error {
  constructor() {
    super('The body ended before its end');
    this.name = 'BodyCutShort';
  }
}

/** A request's body, decompressed, read piece by piece. */
export class BodyReader {
  readonly #message: IncomingMessage;
  readonly #source: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  ended = false;

  /** @param source of the bytes: the message itself, a decoder behind it, or a file of what was in it */
  constructor(message: IncomingMessage, source: Readable = message) {
    this.#message = message;
    this.#source = source;
    this.#chunks = source.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** Lets go of a source that nobody reads to its end. The message stays: the answer is still to be sent. */
  close(): void {
    if (this.#source !== this.#message) this.#source.destroy();
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

/** The body of a message whose encoding Node.js undoes itself. @throws FrontError NOT_IMPLEMENTED for any other encoding */
export function readDecoded(message: IncomingMessage): BodyReader {
  const decoder = decoderFor(message.headers['content-encoding']);
  if (decoder === undefined) return new BodyReader(message);
  // A connection that breaks must break the decoder too, or it would wait for more.
  message.once('error', (error) => decoder.destroy(error));
  message.once('aborted', () => decoder.destroy(new BodyCutShort()));
  return new BodyReader(message, message.pipe(decoder));
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
      throw frontError(
        'NOT_IMPLEMENTED',
        `Content-Encoding ${encoding} is not served: use lz4, zstd, gzip, deflate or br`,
      );
  }
}
