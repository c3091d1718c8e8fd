import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BodyReader } from './body.js';

/** A body that is complete: on disk, or in memory where it is so small that a file would be half of the work. */
export type Complete = CompleteFile | { readonly small: Buffer; readonly bytes: number };

export interface CompleteFile {
  readonly path: string;
  readonly bytes: number;
  remove(): void;
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
    const first = await body.upTo(SMALL_BYTES);
    const start = head.length === 0 ? first : Buffer.concat([head, first]);
    if (body.ended && start.length <= IN_MEMORY_BYTES && mayStay(start)) return { small: start, bytes: start.length };
    return this.#write(start, body);
  }

  /** Takes all of `body` into a file. @throws BodyCutShort */
  async storeFile(body: BodyReader): Promise<CompleteFile> {
    return this.#write(await body.upTo(SMALL_BYTES), body);
  }

  async #write(start: Buffer, body: BodyReader): Promise<CompleteFile> {
    const path = this.reserve();
    const remove = (): void => rmSync(path, { force: true });
    try {
      if (body.ended) {
        writeFileSync(path, start, { mode: 0o600 });
        return { path, bytes: start.length, remove };
      }
      let bytes = start.length;
      const chunks = async function* (): AsyncGenerator<Buffer> {
        if (start.length > 0) yield start;
        for await (const chunk of body.rest()) {
          bytes += chunk.length;
          yield chunk;
        }
      };
      await pipeline(Readable.from(chunks(), { objectMode: false }), createWriteStream(path, { mode: 0o600 }));
      return { path, bytes, remove };
    } catch (error) {
      remove();
      throw error;
    }
  }
}
