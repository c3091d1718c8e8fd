import { isOverLimit, isOverShare, type QuarantineLimits, type RefusedRow } from '../../domain/quarantine.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { count, plural } from '../../domain/figures.js';
import { Failure } from '../../failure/failure.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { targetNames } from '../names.js';
import { INCORRECT_DATA } from './probe.js';

/** Their bytes go to the ledger in one statement. */
const MOST_BYTES = 32 * 1024 * 1024;

export interface RefusedRowsOptions {
  readonly limits: QuarantineLimits;
  readonly table: TargetTable;
  /** Rows of the table that are set aside already. */
  readonly open: number;
  /** Of the insert. */
  readonly error: unknown;
}

/** The rows of one batch that ClickHouse refuses. Its invariant: they are within the limits. */
export class RefusedRows {
  readonly #options: RefusedRowsOptions;
  readonly #rows: RefusedRow[] = [];
  #bytes = 0;

  constructor(options: RefusedRowsOptions) {
    this.#options = options;
  }

  /** @throws Failure `RowRefused` where there are too many */
  add(row: RefusedRow): void {
    const { limits, open } = this.#options;
    this.#rows.push(row);
    this.#bytes += row.raw.length;
    if (limits.rows === 0) throw this.#options.error;
    if (isOverLimit(limits, this.#rows.length, open))
      throw this.#tooMany(
        `more than the ${count(limits.rows)} rows of a table that may be in quarantine at once (${count(open)} are)`,
      );
    if (this.#bytes > MOST_BYTES) throw this.#tooMany('more than 32 MB of rows of one batch');
  }

  /**
   * @param rows all of the batch
   * @throws Failure `RowRefused` where the refused ones are too many of them; the error of the insert where none was refused, or all of
   *   them because the table does not fit
   */
  finish(rows: number): readonly RefusedRow[] {
    const { limits, error } = this.#options;
    const refused = this.#rows.length;
    // What a probe does not show (a constraint, a view of the user's) may have left a part of the insert behind.
    if (refused === 0) throw error;
    if (refused === rows && this.#isMisfit) throw error;
    if (isOverShare(limits, refused, rows))
      throw this.#tooMany(`more than ${limits.percent} % of a batch of ${plural(rows, 'row')}`);
    return this.#rows;
  }

  /** Not the rows but the table: a column is missing there. */
  get #isMisfit(): boolean {
    return this.#rows.every(({ code }) => code === INCORRECT_DATA);
  }

  /** @param what the limit, as the end of a sentence */
  #tooMany(what: string): unknown {
    const { table, error } = this.#options;
    if (this.#isMisfit) return error;
    const [first] = this.#rows;
    const column =
      first?.column === null || first === undefined ? '' : `, the first of them for column "${first.column}"`;
    const code = error instanceof Failure && error.cause instanceof ClickHouseAnswer ? ` (${error.cause.message})` : '';
    return new Failure('RowRefused', {
      message: `ClickHouse refuses ${what} while inserting into ${targetNames(table.target).shown}${column}${code}.`,
      remedy:
        'If a column of the ClickHouse table does not fit, alter it, then resume. If the values are wrong, correct them in ' +
        'PostgreSQL, raise PG2CLICK_QUARANTINE_ROWS (or PG2CLICK_QUARANTINE_PERCENT) of the workers that load, restart them, then resume.',
      cause: error,
    });
  }
}
