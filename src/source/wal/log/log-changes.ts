import type { Lsn } from '../lsn.js';
import type { PendingChanges } from '../pending-changes.js';
import { TEXT, type Tuple } from '../tuple.js';
import type { Form } from './forms.js';
import { headOf, type StreamedTransaction } from './transaction.js';

/** What is in the outbox of a transaction that was read in part. */
export interface WrittenPart {
  readonly commit: Lsn;
  readonly changes: number;
}

/**
 * Counts the changes of a table within a transaction. PostgreSQL sends a transaction in the same order whenever it is read, so after a
 * crash the first ones are known to be those that are in the outbox already.
 */
export class ChangeCount {
  readonly #written: WrittenPart;
  #commit: Lsn = -1n;
  #changes = 0;

  constructor(written: WrittenPart) {
    this.#written = written;
  }

  get changes(): number {
    return this.#changes;
  }

  /** Counts one more. @returns whether it is new */
  next(commit: Lsn): boolean {
    if (commit !== this.#commit) {
      this.#commit = commit;
      this.#changes = 0;
    }
    this.#changes += 1;
    return commit !== this.#written.commit || this.#changes > this.#written.changes;
  }
}

/** What is known of the columns that are sent. */
export interface LogColumns {
  /** Undefined where they cannot be kept. */
  readonly form: Form | undefined;
  /** See `placesOfKey`; undefined where it is not known. */
  readonly key: readonly number[] | undefined;
  /** Places of columns whose values are not kept. */
  readonly skipped: ReadonlySet<number>;
}

/** A table of the stream of which every change is kept, as its rows look by now: another form is another one of these. */
export class LogRelation {
  readonly id: string;
  readonly columns: LogColumns;
  readonly #count: ChangeCount;
  #commit: Lsn = -1n;
  #head: Buffer = Buffer.alloc(0);

  constructor(id: string, columns: LogColumns, count: ChangeCount) {
    this.id = id;
    this.columns = columns;
    this.#count = count;
  }

  /**
   * Adds a change. One that gives a row another key is two: the old row was deleted, the new one inserted. So the last change of a key
   * always says what became of it.
   * @returns how many bytes more wait
   */
  change(
    pending: PendingChanges,
    transaction: StreamedTransaction,
    message: Buffer,
    old: Tuple | undefined,
    now: Tuple | undefined,
  ): number {
    if (!this.#count.next(transaction.commit)) return 0;
    const head = this.#headOf(transaction);
    const lines = pending.linesOfLog(this);
    const before = lines.bytes;
    lines.commit = transaction.commit;
    lines.changes = this.#count.changes;
    const { key, form } = this.columns;
    const isKept = key !== undefined && form !== undefined;
    let isWhole = isKept;
    if (isKept && old === undefined) isWhole = lines.add(now === undefined ? 't' : 'i', head, message, now, undefined);
    else if (isKept && now === undefined) isWhole = lines.add('d', head, message, old, undefined);
    else if (isKept && old !== undefined && now !== undefined)
      isWhole = this.#hasSameKey(message, old, now)
        ? lines.add('u', head, message, now, old)
        : lines.add('d', head, message, old, undefined) && lines.add('i', head, message, now, old);
    if (!isWhole) lines.mark();
    return lines.bytes - before;
  }

  #headOf(transaction: StreamedTransaction): Buffer {
    if (transaction.commit !== this.#commit) {
      this.#commit = transaction.commit;
      this.#head = headOf(transaction);
    }
    return this.#head;
  }

  #hasSameKey(message: Buffer, old: Tuple, now: Tuple): boolean {
    return (this.columns.key ?? []).every((place) => {
      // A value that is not sent was not touched.
      if (old.kinds[place] !== TEXT || now.kinds[place] !== TEXT) return true;
      const [start, end] = [old.starts[place] ?? 0, old.ends[place] ?? 0];
      return message.compare(message, now.starts[place] ?? 0, now.ends[place] ?? 0, start, end) === 0;
    });
  }
}
