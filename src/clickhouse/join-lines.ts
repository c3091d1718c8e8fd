/** A chunk for each row would cost more than parsing it. Above 128 KB a larger chunk gains nothing. */
const CHUNK_BYTES = 128 * 1024;
const NEWLINE = 0x0a;

/** Joins the values with newlines into chunks of about `CHUNK_BYTES`; a larger value is a chunk of its own. */
export function* joinLines(values: readonly Buffer[]): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let filled = 0;
  for (const value of values) {
    if (filled > 0 && filled + value.length + 1 > chunk.length) {
      yield chunk.subarray(0, filled);
      // The socket may still hold the last one.
      chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      filled = 0;
    }
    if (value.length + 1 > chunk.length) chunk = Buffer.allocUnsafe(value.length + 1);
    value.copy(chunk, filled);
    filled += value.length;
    chunk[filled] = NEWLINE;
    filled += 1;
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}
