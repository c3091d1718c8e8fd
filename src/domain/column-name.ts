import { RESERVED_COLUMNS } from './column-type.js';

/** Subcolumns: the mask of a Nullable, the lengths of a String or an Array. */
const PART_OF_COLUMN = /^(?<column>.+)\.(?:null|size\d*)$/su;

/**
 * Why a column of ClickHouse cannot have a name, as a clause; undefined where it can.
 * @param others the names of the table's columns
 */
export function flawOfName(name: string, others: ReadonlySet<string>): string | undefined {
  if (RESERVED_COLUMNS.includes(name)) return 'that name is reserved in its ClickHouse table';
  // "note.size" beside a String "note": ClickHouse could not read the table any more (code 352).
  const whole = wholeOf(name);
  return whole !== undefined && others.has(whole) ? `for ClickHouse that is a part of column ${whole}` : undefined;
}

/** Why a column cannot get a name, as `flawOfName`: its own, and that of a column that would become a part of it. */
export function flawOfNewName(name: string, others: ReadonlySet<string>): string | undefined {
  const flaw = flawOfName(name, others);
  if (flaw !== undefined) return flaw;
  const part = [...others].find((other) => wholeOf(other) === name);
  return part === undefined ? undefined : `for ClickHouse column ${part} is a part of that`;
}

function wholeOf(name: string): string | undefined {
  return PART_OF_COLUMN.exec(name)?.groups?.['column'];
}
