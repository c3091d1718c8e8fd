/**
 * Bytes from `start` up to `end`: a view that costs no Buffer of its own. The domain's `Span` has the same shape, so either
 * may be passed for the other, and neither folder imports the other.
 */
export interface ByteRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Below this a loop is faster than the view that `set` needs. */
const SHORT_BYTES = 64;

/**
 * Room for `more` bytes behind the first `filled`: the same buffer where it has the room, else one at least twice as large,
 * with what was filled.
 */
export function grow(bytes: Buffer<ArrayBuffer>, filled: number, more: number): Buffer<ArrayBuffer> {
  const needed = filled + more;
  if (needed <= bytes.length) return bytes;
  const grown = Buffer.allocUnsafe(Math.max(needed, 2 * bytes.length));
  grown.set(bytes.subarray(0, filled));
  return grown;
}

/** @returns the offset behind the copy */
export function copyInto(target: Uint8Array, at: number, { bytes, start, end }: ByteRange): number {
  if (end - start < SHORT_BYTES) {
    for (let i = start; i < end; i++) target[at++] = bytes[i] ?? 0;
    return at;
  }
  target.set(bytes.subarray(start, end), at);
  return at + end - start;
}

/** Exact below 2^53, which no topic reaches. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}
