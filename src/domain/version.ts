/**
 * The version of a row in ClickHouse: `generation << 120 | major << 64 | minor`, a UInt128. It is a position of the source,
 * total per key, so the right row wins even if rows arrive twice, late, or from a frozen worker. No clock takes part.
 *
 * For the outbox and for copies `major` is the outbox sequence (of the event, or the allocated position of the copy) and `minor` the
 * shape: a batch that is read again after the columns changed has other rows under the same positions, and the newer ones
 * must win. With minor 0 a version is the lower bound of all of its major part.
 */
export type Version = bigint;

const GENERATION_SHIFT = 120n;
const MAJOR_SHIFT = 64n;
const MAX_GENERATION = 255;
const MAX_MAJOR = (1n << 56n) - 1n;

/** @throws RangeError where a part does not fit: generation 8 bits, major 56, minor 64 */
export function composeVersion(generation: number, major: bigint, minor = 0n): Version {
  if (!Number.isInteger(generation) || generation < 0 || generation > MAX_GENERATION)
    throw new RangeError(`generation ${generation} does not fit 8 bits`);
  if (major < 0n || major > MAX_MAJOR) throw new RangeError(`position ${major} does not fit 56 bits`);
  if (minor < 0n || minor >= 1n << MAJOR_SHIFT) throw new RangeError(`minor ${minor} does not fit 64 bits`);
  return (BigInt(generation) << GENERATION_SHIFT) | (major << MAJOR_SHIFT) | minor;
}

export function generationOf(version: Version): number {
  return Number(version >> GENERATION_SHIFT);
}

export function majorOf(version: Version): bigint {
  return (version >> MAJOR_SHIFT) & MAX_MAJOR;
}

export function minorOf(version: Version): bigint {
  return version & ((1n << MAJOR_SHIFT) - 1n);
}

/**
 * The SQL expression of a version for a `bigint` expression `major`: numeric arithmetic, 1 us a row; the shape is free.
 * The result is of type numeric; JSON wants it as text.
 */
export function versionSql(generation: number, major: string, shape: number): string {
  return `(${composeVersion(generation, 0n, BigInt(shape))}::numeric + (${major})::numeric * ${1n << MAJOR_SHIFT})`;
}
