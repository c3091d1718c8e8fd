import { formatLsn, type Lsn } from '../lsn.js';

const POSTGRES_EPOCH_MS = 946_684_800_000;
const XID_MODULUS = 1n << 32n;

/** A transaction of the stream. */
export interface StreamedTransaction {
  /** Start of its commit record. */
  readonly commit: Lsn;
  /** 64 bits. */
  readonly xid: bigint;
  /** Microseconds since 2000-01-01. */
  readonly at: bigint;
}

/** What every line of a transaction begins with, as COPY text: position, time, xid. */
export function headOf({ commit, xid, at }: StreamedTransaction): Buffer {
  return Buffer.from(`${formatLsn(commit)}\t${timeOf(at)}\t${xid}`, 'latin1');
}

/** Of microseconds since 2000-01-01. */
export function timeOf(micros: bigint): string {
  const time = new Date(Number(micros / 1_000n) + POSTGRES_EPOCH_MS).toISOString().slice(0, -1);
  return `${time}${String(micros % 1_000n).padStart(3, '0')}Z`;
}

/** @param xid 32 bits @param near a number of 64 bits that is within 2^31 of it */
export function widenXid(xid: number, near: bigint): bigint {
  const wide = (near & ~(XID_MODULUS - 1n)) | BigInt(xid);
  if (wide - near >= XID_MODULUS / 2n) return wide - XID_MODULUS;
  if (near - wide > XID_MODULUS / 2n) return wide + XID_MODULUS;
  return wide;
}
