import type { ReplicatedTable } from '../domain/replicated-table.js';
import { composeVersion, type Version } from '../domain/version.js';

/**
 * The version of what the message at an offset says: Debezium writes the changes of a key in the order of their commits, into one
 * partition. `source.sequence` and `source.lsn` have that order too, but not always: the first transaction after a start has no sequence, nor has a
 * snapshot; flat messages have neither; and after a failover or a restore both begin again lower, so that new changes would lose and say
 * nothing.
 */
export function versionOf(
  { generation, shape }: Pick<ReplicatedTable, 'generation' | 'shape'>,
  offset: number,
): Version {
  return composeVersion(generation, 2n * BigInt(offset) + 2n, BigInt(shape));
}

/**
 * The position of a copy that begins now: between those of the last message and of the next one. The copy waits for the writers of this
 * moment, so it has all that the messages before it say; what comes behind it wins.
 * @param end the next offset to be written, decimal
 */
export function positionOfCopy(end: string): string {
  return String(2n * BigInt(end) + 1n);
}
