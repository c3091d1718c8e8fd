import stringWidth from 'string-width';
import type { ChalkInstance } from 'chalk';

/** Absent values are shown as a dash. */
export type Cell = string | number | undefined;

export interface Table {
  readonly title: string;
  /** With their units. Those that end in a number column are set right. */
  readonly heads: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

const GAP = '  ';

/** Lines of aligned columns: numbers to the right, words to the left. */
export function renderTable(table: Table, paint: ChalkInstance): readonly string[] {
  const texts = table.rows.map((row) => table.heads.map((_head, column) => show(row[column])));
  const isNumeric = table.heads.map((_head, column) =>
    table.rows.every((row) => row[column] === undefined || isNumber(show(row[column]))),
  );
  const widths = table.heads.map((head, column) =>
    Math.max(stringWidth(head), ...texts.map((row) => stringWidth(row[column] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const blanks = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
        return isNumeric[column] === true ? blanks + cell : cell + blanks;
      })
      .join(GAP)
      .trimEnd();
  return [paint.bold(table.title), paint.dim(line(table.heads)), ...texts.map(line)];
}

/** Whole where they are large, else with as many digits as say something. */
function show(cell: Cell): string {
  if (cell === undefined) return '-';
  if (typeof cell === 'string') return cell;
  if (!Number.isFinite(cell)) return '-';
  const digits = Math.abs(cell) >= 100 || Number.isInteger(cell) ? 0 : Math.abs(cell) >= 10 ? 1 : 2;
  return cell.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function isNumber(text: string): boolean {
  return text === '-' || /^-?[\d,.]+%?$/u.test(text);
}

export function percent(share: number | undefined): string | undefined {
  return share === undefined || !Number.isFinite(share) ? undefined : `${Math.round(share * 100)}%`;
}
