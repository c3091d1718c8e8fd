import { columnType, storedKey } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { insertInto, looseBody, looseImages, markSql, typedGuard, values, type Capture } from './capture-parts.js';
import {
  appliedAs,
  captureFunction,
  keyColumn,
  NEW_ROWS,
  OLD_ROWS,
  type CaptureFunction,
  type KeyEvent,
} from './names.js';
import { truncateTreeBody, truncatingBody } from './truncate-sql.js';

/**
 * What one trigger does. It runs in the user's transaction and fails with it, so it must fit the table whatever was done to
 * it since:
 *
 * - The typed statement names the key columns. It runs only on the table that the function was made for, and while the key
 *   index is the one of that day and its columns have the names of that day. ALTER TYPE builds the indexes of a column under
 *   new oids, so the type is right too. `pg_get_indexdef` reads the catalogue's cache and not a snapshot: under REPEATABLE
 *   READ a query on pg_attribute would see names that the parser does not know any more. It costs 3 us a statement.
 * - Else the key columns are found by their attribute numbers, and their values go to `loose` as text. The statement is
 *   built again each time, because a session keeps the plans of a static one.
 * - Else a key column is gone. The event is `x`: something changed, and nobody knows which row.
 *
 * On a partitioned table the functions run on its partitions. Names, types and the key index are those of the table, which its partitions
 * follow; the numbers of the columns are not, so a name is found by the table, never by the partition. How a partition is emptied:
 * `truncate-sql.ts`.
 *
 * There is no exception handler: each firing would take a transaction id, and a full disk would look like a changed column.
 * The function's rights are its owner's, its search path is fixed. `concat` prints by the output function of a type; a cast
 * could be a function of anybody's, and would run with these rights.
 */
export function captureBody(capture: Capture, event: CaptureFunction): string {
  if (event === 'truncating') return truncatingBody(capture.id);
  if (event === 'truncate') return capture.isTree ? truncateTreeBody(capture) : markBody(capture);
  const applied = appliedAs(event);
  if (applied !== undefined) return keyBody({ ...capture, level: 'row' }, applied);
  return keyBody(capture, event as KeyEvent);
}

export function captureFunctionSql(capture: Capture, event: CaptureFunction): string {
  // As a literal, not in dollar quotes: a column may have any name, also that of a closing tag.
  const body = captureBody(capture, event);
  return /* sql */ `create or replace function ${captureFunction(capture.id, event)}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as ${literal(body)}`;
}

function markBody(capture: Capture): string {
  return /* sql */ `begin
    ${markSql(capture, 't')};
    return null;
  end`;
}

function keyBody(capture: Capture, event: KeyEvent): string {
  const { key } = capture;
  if (!key.hasLoose)
    return /* sql */ `begin
    ${typedBranch(capture, event)}
    ${unknownKey(capture, event)};
    return null;
  end`;
  return looseBody(capture, {
    typed: typedBranch(capture, event),
    unknown: `${unknownKey(capture, event)};`,
    loose: (names) =>
      `execute format(${literal(looseStatement(capture, event))}, ${names})${usingRows(capture, event)};`,
  });
}

function typedBranch(capture: Capture, event: KeyEvent): string {
  const { columns } = capture.key;
  const guard = typedGuard(capture);
  if (guard === undefined) return '';
  const targets = columns.map((_, at) => keyColumn(at));
  // Every column is qualified: a bare `found` or `tg_op` would be a variable of plpgsql.
  const keys = (row: string): string[] => columns.map((column) => storedKey(column, `${row}.${quotePg(column.name)}`));
  // Two values of such a type may be `=` and differ: both are kept.
  const union = columns.some((column) => columnType(column).textImage) ? 'union all' : 'union';
  const statement = `${insertInto(capture, targets)} ${rowsOf(capture, event, keys, { union })}`;
  return /* sql */ `if ${guard} then
      ${statement};
      return null;
    end if;`;
}

/** For `format`: `%1$I` is the name of the first key column. */
function looseStatement(capture: Capture, event: KeyEvent): string {
  const images = (row: string): string[] => looseImages(capture, row);
  const parameters = capture.level === 'row' ? { rows: { new: '($1)', old: '($2)' } } : {};
  return `${insertInto(capture, ['loose'])} ${rowsOf(capture, event, images, parameters)}`;
}

function usingRows({ level }: Capture, event: KeyEvent): string {
  if (level === 'statement') return '';
  if (event === 'insert') return ' using new';
  return event === 'update' ? ' using new, old' : ' using null::int, old';
}

/** A statement that touched no row changed nothing. */
function unknownKey(capture: Capture, event: KeyEvent): string {
  const rows = event === 'delete' ? OLD_ROWS : NEW_ROWS;
  const mark = values(capture, [`'x'`]);
  return `${insertInto(capture, ['mark'])} ${capture.level === 'row' ? mark : `${mark} where exists (select from ${rows})`}`;
}

interface RowsOptions {
  /** What the columns of a row are qualified by, with row-level triggers. */
  readonly rows?: { readonly new: string; readonly old: string };
  readonly union?: 'union' | 'union all';
}

/** @param expressions of one row, given what a column of it is qualified by */
function rowsOf(
  capture: Capture,
  event: KeyEvent,
  expressions: (row: string) => string[],
  { rows = { new: 'new', old: 'old' }, union = 'union' }: RowsOptions = {},
): string {
  const from = (table: string, row: string): string =>
    capture.level === 'row'
      ? values(capture, expressions(row))
      : `${values(capture, expressions('changed'))} from ${table} changed`;
  const [after, before] = [from(NEW_ROWS, rows.new), from(OLD_ROWS, rows.old)];
  // `union` keeps one of two equal images: an update that leaves the key alone writes it once.
  if (event === 'update') return `${before} ${union} ${after}`;
  return event === 'insert' ? after : before;
}
