import type { Lsn } from '../lsn.js';
import { TextBuffer } from '../text-buffer.js';
import { NULL, UNCHANGED, type Tuple } from '../tuple.js';
import type { Form } from './forms.js';
import type { LogColumns } from './log-changes.js';
import type { OperationLetter } from './log-table-sql.js';

const FIRST_BYTES = 4 * 1024;
const TAB = 0x09;
const NEWLINE = 0x0a;
const X = 'x'.charCodeAt(0);
/** What COPY reads as NULL. */
const NOTHING = Buffer.from('\\N', 'latin1');

/** Changes of one form for the outbox of one table, as COPY text with `CHANGE_COLUMNS` and then the values. */
export class LogLines {
  /** Of the table. */
  readonly id: string;
  /** Undefined where the columns of the table cannot be kept: then it has a mark alone. */
  readonly form: Form | undefined;
  readonly #skipped: ReadonlySet<number>;
  readonly #copy = new TextBuffer(FIRST_BYTES);
  readonly #formText: Buffer;
  #rows = 0;
  /** Start of the commit record of the transaction that the last change is of. */
  commit: Lsn = 0n;
  /** Changes of the table in that transaction so far. */
  changes = 0;

  constructor(id: string, { form, skipped }: Pick<LogColumns, 'form' | 'skipped'>) {
    this.id = id;
    this.form = form;
    this.#skipped = skipped;
    this.#formText = Buffer.from(String(form?.form ?? ''));
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#copy.end;
  }

  /** The lines so far: a view, which the next line may change. */
  get text(): Buffer {
    return this.#copy.text;
  }

  /**
   * @param head what `headOf` made of the transaction
   * @param other has what `tuple` leaves out as unchanged
   * @returns false where a value is in neither: nothing is added
   */
  add(
    operation: OperationLetter,
    head: Buffer,
    message: Buffer,
    tuple: Tuple | undefined,
    other: Tuple | undefined,
  ): boolean {
    const copy = this.#copy;
    const start = copy.end;
    copy.append(NOTHING);
    copy.put(TAB);
    copy.put(operation.charCodeAt(0));
    copy.put(TAB);
    copy.append(head);
    copy.put(TAB);
    copy.append(this.#formText);
    const { names } = this.form ?? { names: [] };
    for (let column = 0; column < names.length; column++) {
      copy.put(TAB);
      if (tuple === undefined || this.#skipped.has(column)) {
        copy.append(NOTHING);
        continue;
      }
      const from = tuple.kinds[column] === UNCHANGED && other !== undefined ? other : tuple;
      if (column >= from.count || from.kinds[column] === UNCHANGED) {
        copy.end = start;
        return false;
      }
      if (from.kinds[column] === NULL) copy.append(NOTHING);
      else {
        const [first, last] = [from.starts[column] ?? 0, from.ends[column] ?? 0];
        copy.appendCopy(message, first, last);
      }
    }
    copy.put(NEWLINE);
    this.#rows += 1;
    return true;
  }

  /** Something changed, and its values are not known. */
  mark(): void {
    const copy = this.#copy;
    copy.put(X);
    const fields = 5 + (this.form?.names.length ?? 0);
    for (let field = 0; field < fields; field++) {
      copy.put(TAB);
      copy.append(NOTHING);
    }
    copy.put(NEWLINE);
    this.#rows += 1;
  }
}
