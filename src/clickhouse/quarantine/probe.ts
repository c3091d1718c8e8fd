import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import { physicalKey, physicalName, shownName, type Column, type TargetTable } from '../../domain/replicated-table.js';
import { quoteCh } from '../../domain/identifier.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { Failure } from '../../failure/failure.js';
import { listColumns } from '../catalog.js';
import type { InsertFormat } from '../insert.js';
import { insertTimeoutMs, noAnswer } from '../insert-deadline.js';
import { probeSettings } from '../insert-settings.js';
import { joinLines } from '../join-lines.js';
import { quoteText, targetNames } from '../names.js';
import { sendInsert } from '../send.js';

/** Why ClickHouse does not take a row. */
export interface Refusal {
  /** Its error code. */
  readonly code: number;
  readonly column: string | undefined;
  /** Number of the row among those that were sent, from 0; a hint, because the text of the error repeats values. */
  readonly row: number | undefined;
}

/** INCORRECT_DATA: an unknown field, a missing colon. The table does not fit, or one message is broken. */
export const INCORRECT_DATA = 117;
/** ATTEMPT_TO_READ_AFTER_EOF, CANNOT_READ_ALL_DATA: a body that was cut short, or one whose last message is no whole JSON. */
const ENDS_EARLY: readonly number[] = [32, 33];

/** CANNOT_PARSE_INPUT_ASSERTION_FAILED, as ClickHouse calls it where it notices. */
export const NOT_WHOLE: Refusal = { code: 27, column: undefined, row: undefined };
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Whether the connection may be the reason: no row is looked for where all of them would have to be read again. */
export function mayBeCutShort({ code }: Refusal): boolean {
  return ENDS_EARLY.includes(code);
}
const STORED = new Set(['', 'DEFAULT']);

/** What the lines of a batch are. */
export interface LineFormat {
  readonly format: InsertFormat;
  /** Of TabSeparated, in their order. */
  readonly columns: readonly string[] | undefined;
  /** The columns of the table when messages were written, which have their names. Absent: the names are those of the target. */
  readonly shape?: readonly Column[] | undefined;
}

/** What lines call the key columns, in key order. */
export function keyNames(table: Pick<TargetTable, 'columns' | 'key'>, { shape }: Pick<LineFormat, 'shape'>): string[] {
  if (shape === undefined) return physicalKey(table);
  return table.key.map((name) => {
    const position = table.columns.find((column) => column.name === name)?.position;
    const column = shape.find((each) => each.position === position);
    return column === undefined ? name : shownName(column);
  });
}

/** Asks ClickHouse whether it can read lines: as an insert into the target would, and nothing is written. */
export class Probe {
  readonly #clickhouse: ClickHouseClient;
  readonly #table: TargetTable;
  readonly #format: InsertFormat;
  readonly #columns: readonly ProbedColumn[];
  /** Index of the column that was refused last. */
  #lastColumn: number | undefined;

  private constructor(
    ch: ClickHouseClient,
    table: TargetTable,
    format: InsertFormat,
    columns: readonly ProbedColumn[],
  ) {
    this.#clickhouse = ch;
    this.#table = table;
    this.#format = format;
    this.#columns = columns;
  }

  /** With the types that the columns have in the target. @throws Failure those of ClickHouse */
  static async open(ch: ClickHouseClient, table: TargetTable, { format, columns, shape }: LineFormat): Promise<Probe> {
    const { database, table: name } = table.target;
    const existing = (await listColumns(ch, database, name)).filter(({ defaultKind }) => STORED.has(defaultKind));
    const types = new Map(existing.map((column) => [column.name, column.type]));
    const places = new Map((shape ?? []).map((column) => [shownName(column), physicalName(column)]));
    const own =
      shape === undefined ? existing.map((column) => column.name) : [...places.keys(), VERSION_COLUMN, DELETED_COLUMN];
    const names = columns ?? own;
    return new Probe(
      ch,
      table,
      format,
      names.map((column) => ({ name: column, type: types.get(places.get(column) ?? column) ?? 'String' })),
    );
  }

  /**
   * Whether a line may be a JSON object: ClickHouse takes `[]` between two rows for the end of them, and a row that is cut for the
   * beginning of the next.
   */
  isWhole(line: Buffer): boolean {
    return this.#format !== 'JSONEachRow' || (line[0] === OPEN && line.at(-1) === CLOSE);
  }

  /** @returns undefined where ClickHouse takes all lines. @throws Failure those of ClickHouse that say nothing of a row */
  refusalOf(lines: readonly Buffer[], signal: AbortSignal): Promise<Refusal | undefined> {
    return this.#send(lines, this.#columns, signal);
  }

  /**
   * The column that a refused line is refused for. Errors of TabSeparated name none for dates and times: it is found by reading the
   * others as texts.
   */
  async columnOf(line: Buffer, refusal: Refusal, signal: AbortSignal): Promise<string | undefined> {
    if (refusal.column !== undefined || this.#format === 'JSONEachRow') return refusal.column;
    const isRefused = async (isTyped: (index: number) => boolean): Promise<boolean> => {
      const columns = this.#columns.map((column, index) => (isTyped(index) ? column : { ...column, type: ANY_TEXT }));
      return (await this.#send([line], columns, signal)) !== undefined;
    };
    const guess = this.#lastColumn;
    if (guess !== undefined && (await isRefused((index) => index === guess))) return this.#columns[guess]?.name;
    // With the types of the first `good` columns the line passes, with those of the first `bad` ones it is refused.
    let good = 0;
    let bad = this.#columns.length;
    while (bad - good > 1) {
      const middle = (good + bad) >>> 1;
      if (await isRefused((index) => index < middle)) bad = middle;
      else good = middle;
    }
    this.#lastColumn = bad - 1;
    return this.#columns[bad - 1]?.name;
  }

  async #send(
    lines: readonly Buffer[],
    columns: readonly ProbedColumn[],
    signal: AbortSignal,
  ): Promise<Refusal | undefined> {
    const ch = this.#clickhouse;
    const structure = columns.map(({ name, type }) => `${quoteCh(name)} ${type}`).join(', ');
    const query = /* sql */ `insert into function null(${quoteText(structure)}) format ${this.#format}`;
    const timeoutMs = insertTimeoutMs(1);
    const deadline = AbortSignal.timeout(timeoutMs);
    const body = Readable.from(joinLines(lines), { objectMode: false });
    const settings = await probeSettings(ch);
    try {
      await sendInsert(ch, this.#table, { query, body, settings, signal: AbortSignal.any([signal, deadline]) });
      return undefined;
    } catch (error) {
      if (!signal.aborted && deadline.aborted)
        throw new Failure('SinkUnavailable', { message: noAnswer(targetNames(this.#table.target).shown, timeoutMs) });
      const refusal = refusalOf(error);
      if (refusal !== undefined) return refusal;
      if (!(error instanceof Failure) || error.kind !== 'Unauthorized') throw error;
      throw new Failure('Unauthorized', {
        message: `ClickHouse refuses a row of ${targetNames(this.#table.target).shown}, and this user of it may not look for that row.`,
        remedy: error.remedy ?? 'Run in ClickHouse: grant create temporary table on *.* to that user. Then resume.',
        cause: error,
      });
    }
  }
}

interface ProbedColumn {
  readonly name: string;
  readonly type: string;
}

/** Takes every text, and NULL. */
const ANY_TEXT = 'Nullable(String)';

/** @returns undefined for an error that says nothing of a row */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof Failure && error.cause instanceof ClickHouseAnswer)) return undefined;
  const { code, place } = error.cause;
  if (error.kind !== 'RowRefused' && code !== INCORRECT_DATA && !ENDS_EARLY.includes(code)) return undefined;
  return { code, column: place.column, row: place.row === undefined ? undefined : place.row - 1 };
}
