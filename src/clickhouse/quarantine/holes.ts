import type { BatchName } from '../../domain/batch.js';
import { VERSION_COLUMN } from '../../domain/column-type.js';
import { holeOf, type RefusedRow } from '../../domain/quarantine.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { identifyRow, originOf } from './identify-row.js';
import { keyNames, type LineFormat, type Refusal } from './probe.js';

const TAB = 0x09;
const NO_REFUSAL: Refusal = { code: 0, column: undefined, row: undefined };

/** The rows of a batch that are not inserted: those of its name, and those that this attempt has found. */
export class Holes {
  readonly batch: number;
  readonly #named: Set<string>;
  /**
   * Of rows that go by once: key and version, as they stand in the text. Of one key there may be several, each of another version. A hash
   * of each would cost a copy 5 us a row.
   */
  readonly #keys = new Set<string>();

  constructor({ batch, holes = [] }: BatchName) {
    this.batch = batch;
    this.#named = new Set(holes);
  }

  get isEmpty(): boolean {
    return this.#named.size === 0 && this.#keys.size === 0;
  }

  get names(): ReadonlySet<string> {
    return this.#named;
  }

  addNames(rows: readonly RefusedRow[]): void {
    for (const { origin } of rows) this.#named.add(holeOf(origin));
  }

  /** @param format of COPY text */
  addKeys(table: TargetTable, format: LineFormat, rows: readonly RefusedRow[]): void {
    const places = placesOf(table, format);
    for (const { raw } of rows) this.#keys.add(textAt(Buffer.from(raw), places));
  }

  /** Whether a line of COPY text is one of them. */
  finder(table: TargetTable, format: LineFormat): (line: Buffer) => boolean {
    const places = placesOf(table, format);
    return (line) => {
      if (this.#keys.size > 0 && this.#keys.has(textAt(line, places))) return true;
      if (this.#named.size === 0) return false;
      return this.#named.has(holeOf(originOf(identifyRow(table, format, line, NO_REFUSAL), line)));
    };
  }
}

/** Indexes of the key columns and of the version, where there is one, ascending. */
function placesOf(table: TargetTable, format: LineFormat): readonly number[] {
  const { columns = [] } = format;
  return [...keyNames(table, format), VERSION_COLUMN]
    .map((name) => columns.indexOf(name))
    .filter((place) => place >= 0)
    .toSorted((a, b) => a - b);
}

/** The fields at these places, as they are. */
function textAt(line: Buffer, places: readonly number[]): string {
  let text = '';
  let field = 0;
  let start = 0;
  for (const place of places) {
    for (; field < place; field += 1) start = line.indexOf(TAB, start) + 1;
    const end = line.indexOf(TAB, start);
    text += `${line.toString('latin1', start, end === -1 ? line.length : end)}\t`;
  }
  return text;
}
