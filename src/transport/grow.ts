/**
 * Room for `more` bytes behind the first `filled`: the same buffer where it has it, else one at least twice as large, with
 * what was filled.
 */
export function grow(bytes: Buffer<ArrayBuffer>, filled: number, more: number): Buffer<ArrayBuffer> {
  const needed = filled + more;
  if (needed <= bytes.length) return bytes;
  const grown = Buffer.allocUnsafe(Math.max(needed, 2 * bytes.length));
  grown.set(bytes.subarray(0, filled));
  return grown;
}
