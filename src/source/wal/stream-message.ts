import type { LogicalMessage } from '../../domain/logical-message.js';
import { timeOf } from './log/transaction.js';
import { formatLsn, type Lsn } from './lsn.js';

/** A logical message, as places in the message of the stream. */
export interface StreamMessage {
  readonly bytes: Buffer;
  readonly prefixStart: number;
  readonly prefixEnd: number;
  readonly contentStart: number;
  readonly contentEnd: number;
  /** Start of its record. */
  readonly lsn: Lsn;
  readonly isTransactional: boolean;
}

/** The prefix of messages that pg2click itself writes: they move the WAL on, and say nothing. */
const OWN_PREFIX = Buffer.from('pg2click');

export function isOwn({ bytes, prefixStart, prefixEnd }: StreamMessage): boolean {
  return prefixEnd - prefixStart === OWN_PREFIX.length && OWN_PREFIX.compare(bytes, prefixStart, prefixEnd) === 0;
}

/** @param transaction that is open in the stream: `at` in microseconds since 2000-01-01 */
export function logicalMessage(
  { bytes, prefixStart, prefixEnd, contentStart, contentEnd, lsn, isTransactional }: StreamMessage,
  { commit, xid, at }: { readonly commit: Lsn; readonly xid: number; readonly at: bigint },
): LogicalMessage {
  return {
    prefix: { bytes, start: prefixStart, end: prefixEnd },
    content: { bytes, start: contentStart, end: contentEnd },
    lsn: formatLsn(lsn),
    transaction: isTransactional ? { commit: formatLsn(commit), xid: String(xid), at: timeOf(at) } : undefined,
  };
}
