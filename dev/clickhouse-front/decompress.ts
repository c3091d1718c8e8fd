import { createReadStream, openSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Session } from 'chdb';
import { run } from './engine.js';
import { literal } from './settings.js';

/** By their names in Content-Encoding, which are the engine's own. Node.js 20 knows neither of them. */
const ENGINE_ENCODINGS = ['lz4', 'zstd'] as const;
export type EngineEncoding = (typeof ENGINE_ENCODINGS)[number];

/** The encoding of a body that only the engine can undo; undefined for every other. */
export function engineEncodingOf(message: IncomingMessage): EngineEncoding | undefined {
  const name = message.headers['content-encoding']?.toLowerCase();
  return ENGINE_ENCODINGS.find((encoding) => encoding === name);
}

/**
 * Lets the engine decompress a file, also one of several frames in a row, as clickhouse-connect sends them. It reads bytes as
 * rows of one byte: 20 to 30 MB/s, and never the whole in memory, where its format for a whole file (RawBLOB) takes three times the
 * body. Of npm's libraries lz4-napi is maintained, and takes whole buffers only.
 *
 * @param from the compressed file
 * @param to a path without a file; none is left there
 * @throws the engine's error for bytes that are not of this encoding
 */
export async function decompress(
  session: Session,
  encoding: EngineEncoding,
  from: string,
  to: string,
): Promise<Readable> {
  const input = `file(${literal(from)}, 'RowBinary', 'byte UInt8', ${literal(encoding)})`;
  try {
    // One thread, or the order of the bytes would not be certain.
    await run(
      session,
      /* sql */ `select byte from ${input} into outfile ${literal(to)} truncate format RowBinary settings max_threads = 1`,
      'Null',
    );
    // Open, it is there to be read, and gone when it is closed or the process dies.
    const fd = openSync(to, 'r');
    return createReadStream('', { fd });
  } finally {
    rmSync(to, { force: true });
  }
}
