import { isOverLimit, isOverShare, type QuarantineLimits, type RefusedRow } from '../../domain/quarantine.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { count, plural } from '../../domain/figures.js';
import { Failure } from '../../failure/failure.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { targetNames } from '../names.js';
import { INCORRECT_DATA } from './probe.js';

/** Their bytes go to the ledger in one statement. */
const MOST_BYTES = 32 * 1024 * 1024;

const NO_BYTES = new Uint8Array();

export interface RefusedRowsOptions {
  readonly limits: QuarantineLimits;
  readonly table: TargetTable;
  /** Rows of the table that are set aside already. */
  readonly open: number;
  /** Of the insert. */
  readonly error: unknown;
  /** The rows are read from PostgreSQL again at the next attempt. Those of a topic stay as they are. */
  readonly rereads: boolean;
}

/** What leads out where a limit is exceeded. */
const RAISE_ROWS =
  'with a higher PG2CLICK_QUARANTINE_ROWS (and PG2CLICK_QUARANTINE_PERCENT=100 where most rows of a batch are refused)';
const RAISE_PERCENT = 'with PG2CLICK_QUARANTINE_PERCENT=100';

/** The rows of one batch that ClickHouse refuses. Its invariant: they are within the limits. */
export class RefusedRows {
  readonly #options: RefusedRowsOptions;
  readonly #rows: RefusedRow[] = [];
  /** Indexes of the rows with the highest version of their key. */
  readonly #newest = new Map<string, number>();
  /** How many rows are kept with their bytes. */
  #kept = 0;
  #bytes = 0;

  constructor(options: RefusedRowsOptions) {
    this.#options = options;
  }

  /** @throws Failure `RowRefused` where there are too many */
  add(row: RefusedRow): void {
    const { limits, open } = this.#options;
    this.#keep(row);
    if (limits.rows === 0) throw this.#options.error;
    if (isOverLimit(limits, this.#kept, open))
      throw this.#tooMany(
        `more than the ${count(limits.rows)} rows of a table that may be in quarantine at once (${count(open)} are)`,
        RAISE_ROWS,
      );
    if (this.#bytes > MOST_BYTES) throw this.#tooMany('more than 32 MB of rows of one batch', undefined);
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
    if (isOverShare(limits, this.#kept, rows))
      throw this.#tooMany(`more than ${limits.percent} % of a batch of ${plural(rows, 'row')}`, RAISE_PERCENT);
    return this.#rows;
  }

  /** An earlier version of a row is a hole too, and nothing more: one row that is updated often is one row. */
  #keep(row: RefusedRow): void {
    const before = row.key === null || row.version === null ? undefined : this.#newest.get(row.key);
    const other = before === undefined ? undefined : this.#rows[before];
    if (before !== undefined && other !== undefined && BigInt(row.version ?? 0) < BigInt(other.version ?? 0)) {
      this.#rows.push({ ...row, raw: NO_BYTES });
      return;
    }
    if (before === undefined || other === undefined) this.#kept += 1;
    else {
      this.#bytes -= other.raw.length;
      this.#rows[before] = { ...other, raw: NO_BYTES };
    }
    if (row.key !== null && row.version !== null) this.#newest.set(row.key, this.#rows.length);
    this.#rows.push(row);
    this.#bytes += row.raw.length;
  }

  /** Not the rows but the table: a column is missing there. */
  get #isMisfit(): boolean {
    return this.#rows.every(({ code }) => code === INCORRECT_DATA);
  }

  /**
   * @param what the limit, as the end of a sentence
   * @param raise the settings that let the rows in; undefined where none does
   */
  #tooMany(what: string, raise: string | undefined): unknown {
    const { table, error, rereads } = this.#options;
    if (this.#isMisfit) return error;
    const [first] = this.#rows;
    const column =
      first?.column === null || first === undefined ? '' : `, the first of them for column "${first.column}"`;
    const code = error instanceof Failure && error.cause instanceof ClickHouseAnswer ? ` (${error.cause.message})` : '';
    return new Failure('RowRefused', {
      message: `ClickHouse refuses ${what} while inserting into ${targetNames(table.target).shown}${column}${code}.`,
      remedy: [
        ...(rereads ? ['Correct the values in PostgreSQL, then resume.'] : []),
        ...(raise === undefined
          ? []
          : [
              `To go on, restart the workers that load ${raise}, then resume: the rows are set aside, and each correction in PostgreSQL closes one.`,
            ]),
        'To keep such values, remove the table and add it again with --policy COLUMN=text.',
      ].join(' '),
      cause: error,
    });
  }
}
