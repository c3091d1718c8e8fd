/** A position in the WAL of PostgreSQL: a count of bytes since the cluster was made, 64 bits. */
export type Lsn = bigint;

const WORD_BITS = 32n;

/** @param text as PostgreSQL prints it, `16/B374D848` @throws RangeError */
export function parseLsn(text: string): Lsn {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/iu.exec(text) ?? [];
  if (high === undefined || low === undefined) throw new RangeError(`${text} is no position of the WAL`);
  return (BigInt(`0x${high}`) << WORD_BITS) | BigInt(`0x${low}`);
}

export function formatLsn(lsn: Lsn): string {
  const words = [lsn >> WORD_BITS, lsn & ((1n << WORD_BITS) - 1n)];
  return words.map((word) => word.toString(16).toUpperCase()).join('/');
}
