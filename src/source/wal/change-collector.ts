import type { MessageSink } from '../../domain/logical-message.js';
import type { LogRelation } from './log/log-changes.js';
import { widenXid, type StreamedTransaction } from './log/transaction.js';
import type { Lsn } from './lsn.js';
import { PendingChanges } from './pending-changes.js';
import type { ChangeReceiver, Relation } from './pgoutput.js';
import type { HandOvers } from './rows/hand-overs.js';
import { TableRows } from './rows/table-rows.js';
import { isOwn, logicalMessage, type StreamMessage } from './stream-message.js';
import type { Tuple } from './tuple.js';

/** Keys are written into PostgreSQL and read again, rows are not: a byte of a row counts as so much less. */
const ROW_SHARE = 8;

/** A table of the stream, where it is one that is replicated. */
export interface KnownRelation {
  readonly id: string;
  /** How many columns its key has. */
  readonly columns: number;
  /** See `placesOfKey`; undefined where nobody can tell the key. */
  readonly places: readonly number[] | undefined;
  /** Where every change of it is kept: in the place of keys. */
  readonly log?: LogRelation | undefined;
}

export interface CollectorOptions {
  /** Transactions that committed before it were read already. */
  readonly position: Lsn;
  /** A transaction id of the present, 64 bits. Default 0, for a server that has given out few. */
  readonly xid?: bigint | undefined;
  /** @returns undefined for a table that is not replicated, or not any more */
  readonly find: (relation: Relation) => Promise<KnownRelation | undefined>;
  /** Stages that take whole rows. */
  readonly handOvers: HandOvers;
  /** Absent: nobody wants logical messages. */
  readonly messages?: MessageSink | undefined;
  /** Called when a transaction is complete. */
  readonly onCommit: (end: Lsn) => void;
  /** Called when something was added. A promise holds up the stream. */
  readonly onKeys: (bytes: number) => Promise<void> | undefined;
}

const NOTHING = Buffer.alloc(0);

interface Known extends KnownRelation {
  readonly rows: TableRows;
}

/** Takes the keys out of the changes, or whole rows where a stage takes them. */
export class ChangeCollector implements ChangeReceiver {
  readonly #options: CollectorOptions;
  readonly #relations = new Map<number, Known>();
  #pending = new PendingChanges();
  #bytes = 0;
  #xid = 0;
  #commit: Lsn = 0n;
  #at = 0n;
  /** Of 64 bits, of the present. */
  #wideXid: bigint;
  /** What a log says of the transaction; undefined until it is needed. */
  #transaction: StreamedTransaction | undefined;
  /** Whether the xid is among those of the pending keys. */
  #isNoted = false;
  /** Whether it is one that was read already. */
  #isKnown = false;
  #isOpen = false;
  /** A part of the transaction was taken before its end. */
  #isParted = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#wideXid = options.xid ?? 0n;
  }

  /** In the middle of a transaction. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Of what waits, as keys. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a whole transaction waits. */
  get hasWhole(): boolean {
    return this.#pending.end !== undefined;
  }

  get isEmpty(): boolean {
    return this.#pending.isEmpty && !this.hasWhole;
  }

  take(): PendingChanges {
    const taken = this.#pending;
    this.#pending = new PendingChanges();
    this.#bytes = 0;
    this.#isNoted = false;
    this.#isParted = this.#isOpen;
    return taken;
  }

  begin(commit: Lsn, xid: number, at: bigint): void {
    this.#isOpen = true;
    this.#commit = commit;
    this.#at = at;
    this.#transaction = undefined;
    // A position is the end of a record: what committed below it ended at or below it.
    this.#isKnown = commit < this.#options.position;
    this.#xid = xid;
    this.#isNoted = false;
    this.#isParted = false;
  }

  commit(end: Lsn): undefined {
    this.#isOpen = false;
    if (this.#isKnown) return;
    if (!this.#pending.isEmpty || this.#isParted) this.#pending.end = end;
    this.#options.onCommit(end);
  }

  async relation(relation: Relation): Promise<void> {
    const found = await this.#options.find(relation);
    if (found === undefined) this.#relations.delete(relation.oid);
    else {
      const rows = new TableRows(found.id, relation, this.#options.handOvers);
      this.#relations.set(relation.oid, { ...found, rows });
    }
  }

  change(relation: number, message: Buffer, old: Tuple | undefined, now: Tuple | undefined): Promise<void> | undefined {
    const known = this.#isKnown ? undefined : this.#relations.get(relation);
    if (known === undefined) return undefined;
    if (known.log !== undefined) return this.#changed(known.log, message, old, now);
    const taken = known.rows.add(this.#pending, this.#commit, message, old, now);
    if (taken > 0) return this.#added(taken / ROW_SHARE);
    const lines = this.#pending.linesOf(known.id, known.columns);
    const before = lines.bytes;
    const { places } = known;
    const isClear =
      places !== undefined &&
      (old === undefined || lines.add(message, old, places)) &&
      (now === undefined || lines.add(message, now, places, old));
    if (!isClear) lines.mark('x');
    return this.#added(lines.bytes - before);
  }

  truncate(relations: readonly number[]): void {
    for (const relation of this.#isKnown ? [] : relations) {
      const known = this.#relations.get(relation);
      if (known === undefined) continue;
      if (known.log !== undefined) {
        void this.#changed(known.log, NOTHING, undefined, undefined);
        continue;
      }
      const lines = this.#pending.linesOf(known.id, known.columns);
      const before = lines.bytes;
      lines.mark('t');
      this.#pending.truncated.add(known.id);
      void this.#added(lines.bytes - before);
    }
  }

  message(message: StreamMessage): Promise<void> | undefined {
    const { messages, position, onCommit } = this.#options;
    const { lsn, isTransactional } = message;
    const isKnown = isTransactional ? this.#isKnown : lsn < position;
    if (messages === undefined || isKnown || isOwn(message)) return undefined;
    const pending = (this.#pending.messages ??= messages.begin());
    pending.add(logicalMessage(message, { commit: this.#commit, xid: this.#xid, at: this.#at }));
    const bytes = message.contentEnd - message.prefixStart;
    if (isTransactional) return this.#added(bytes);
    this.#bytes += bytes;
    // Behind its beginning PostgreSQL does not send it again.
    this.#pending.end = lsn + 1n;
    onCommit(lsn + 1n);
    return this.#options.onKeys(this.#bytes);
  }

  #changed(
    log: LogRelation,
    message: Buffer,
    old: Tuple | undefined,
    now: Tuple | undefined,
  ): Promise<void> | undefined {
    if (this.#transaction === undefined) {
      this.#wideXid = widenXid(this.#xid, this.#wideXid);
      this.#transaction = { commit: this.#commit, xid: this.#wideXid, at: this.#at };
    }
    const bytes = log.change(this.#pending, this.#transaction, message, old, now);
    return bytes === 0 ? undefined : this.#added(bytes);
  }

  #added(bytes: number): Promise<void> | undefined {
    this.#bytes += bytes;
    if (!this.#isNoted) {
      this.#pending.xids.add(this.#xid);
      this.#isNoted = true;
    }
    return this.#options.onKeys(this.#bytes);
  }
}
