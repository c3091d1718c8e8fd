import type { Lsn } from './lsn.js';
import type { StreamMessage } from './stream-message.js';
import { Tuple } from './tuple.js';

/** A table as the stream describes it, before its first change on a connection, and again after its definition changed. */
export interface Relation {
  /** `pg_class.oid`. */
  readonly oid: number;
  /** `relreplident`: `d`, `n`, `f` or `i`. */
  readonly identity: string;
  /** The columns that are sent, in the order of their attribute numbers, which are not sent. */
  readonly columns: readonly RelationColumn[];
}

export interface RelationColumn {
  readonly name: string;
  /** Whether it is part of the replica identity. */
  readonly isIdentity: boolean;
  /** Oid and modifier of its type. */
  readonly type: number;
  readonly modifier: number;
}

/**
 * What reads a decoded stream. A call that returns a promise holds up the stream until it is settled: that is the only backpressure.
 * Tuples and the message hold until the call returns.
 */
export interface ChangeReceiver {
  /** @param commit start of the commit record; @param xid 32 bits; @param at of the commit, microseconds since 2000-01-01 */
  begin(commit: Lsn, xid: number, at: bigint): void;
  /** @param end of the commit record: what may be acknowledged when all before it is safe */
  commit(end: Lsn): Promise<void> | undefined;
  relation(relation: Relation): Promise<void> | undefined;
  /**
   * An INSERT has no `old`, a DELETE no `now`. An UPDATE has an `old` only where its identity changed, is stored apart, or is FULL.
   */
  change(relation: number, message: Buffer, old: Tuple | undefined, now: Tuple | undefined): Promise<void> | undefined;
  truncate(relations: readonly number[]): void;
  /** One of a transaction comes between its `begin` and its `commit`, any other one between two transactions. */
  message(message: StreamMessage): Promise<void> | undefined;
}

const BEGIN = 0x42;
const COMMIT = 0x43;
const INSERT = 0x49;
const UPDATE = 0x55;
const DELETE = 0x44;
const TRUNCATE = 0x54;
const RELATION = 0x52;
const MESSAGE = 0x4d;
/** Of no use here: the origin of a transaction, the name of a type. */
const IGNORED: readonly number[] = [0x4f, 0x59];
const NEW_TUPLE = 0x4e;
/** Before an old tuple: `K` has the columns of the identity, `O` all of them. */
const OLD_TUPLES: readonly number[] = [0x4b, 0x4f];
const OID_BYTES = 4;

/** Reads the messages of `pgoutput`, protocol version 1: whole transactions, in the order of their commits. */
export class PgOutput {
  readonly #receiver: ChangeReceiver;
  readonly #old = new Tuple();
  readonly #now = new Tuple();

  constructor(receiver: ChangeReceiver) {
    this.#receiver = receiver;
  }

  /** @param start of the message, its letter. @throws RangeError for a message that is not of this protocol */
  take(buffer: Buffer, start: number): Promise<void> | undefined {
    const letter = buffer[start] ?? 0;
    const at = start + 1;
    switch (letter) {
      case INSERT:
        this.#now.read(buffer, at + OID_BYTES + 1);
        return this.#receiver.change(buffer.readUInt32BE(at), buffer, undefined, this.#now);
      case UPDATE:
        return this.#update(buffer, at);
      case DELETE:
        this.#old.read(buffer, at + OID_BYTES + 1);
        return this.#receiver.change(buffer.readUInt32BE(at), buffer, this.#old, undefined);
      case BEGIN:
        this.#receiver.begin(buffer.readBigUInt64BE(at), buffer.readUInt32BE(at + 16), buffer.readBigInt64BE(at + 8));
        return undefined;
      case COMMIT:
        return this.#receiver.commit(buffer.readBigUInt64BE(at + 9));
      case RELATION:
        return this.#receiver.relation(readRelation(buffer, at));
      case TRUNCATE:
        this.#truncate(buffer, at);
        return undefined;
      case MESSAGE:
        return this.#receiver.message(readMessage(buffer, at));
      default:
        if (IGNORED.includes(letter)) return undefined;
        throw new RangeError(`a message ${letter} in the stream of changes`);
    }
  }

  #update(buffer: Buffer, at: number): Promise<void> | undefined {
    let from = at + OID_BYTES;
    const hasOld = OLD_TUPLES.includes(buffer[from] ?? 0);
    if (hasOld) from = this.#old.read(buffer, from + 1);
    if (buffer[from] !== NEW_TUPLE) throw new RangeError('an UPDATE without its new row in the stream of changes');
    this.#now.read(buffer, from + 1);
    return this.#receiver.change(buffer.readUInt32BE(at), buffer, hasOld ? this.#old : undefined, this.#now);
  }

  #truncate(buffer: Buffer, at: number): void {
    const count = buffer.readUInt32BE(at);
    const first = at + OID_BYTES + 1;
    this.#receiver.truncate(
      Array.from({ length: count }, (_, index) => buffer.readUInt32BE(first + OID_BYTES * index)),
    );
  }
}

/** Flags, the position, the prefix, and the content with its length. */
function readMessage(bytes: Buffer, at: number): StreamMessage {
  const prefixStart = at + 9;
  const behind = skipText(bytes, prefixStart);
  const contentStart = behind + 4;
  return {
    bytes,
    prefixStart,
    prefixEnd: behind - 1,
    contentStart,
    contentEnd: contentStart + bytes.readUInt32BE(behind),
    lsn: bytes.readBigUInt64BE(at + 1),
    isTransactional: ((bytes[at] ?? 0) & 1) === 1,
  };
}

function readRelation(buffer: Buffer, at: number): Relation {
  const oid = buffer.readUInt32BE(at);
  let from = skipText(buffer, skipText(buffer, at + OID_BYTES));
  const identity = String.fromCharCode(buffer[from] ?? 0);
  const count = buffer.readUInt16BE(from + 1);
  from += 3;
  const columns: RelationColumn[] = [];
  for (let column = 0; column < count; column++) {
    const end = skipText(buffer, from + 1);
    columns.push({
      name: buffer.toString('utf8', from + 1, end - 1),
      isIdentity: ((buffer[from] ?? 0) & 1) === 1,
      type: buffer.readUInt32BE(end),
      modifier: buffer.readInt32BE(end + 4),
    });
    from = end + 8;
  }
  return { oid, identity, columns };
}

/** @returns the place after the zero byte */
function skipText(buffer: Buffer, from: number): number {
  const end = buffer.indexOf(0, from);
  if (end < 0) throw new RangeError('a name without an end in the stream of changes');
  return end + 1;
}
