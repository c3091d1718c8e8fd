import { knownType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { ReplicatedTable, TriggerLevel } from '../../domain/replicated-table.js';
import type { CaptureKey } from './capture-key.js';
import { captureFunction, keyColumn, outboxTable, qualified, triggerName, type OutboxEvent } from './names.js';

/** Names of the transition tables: a user's table of the same name does not hide them, nor they it. */
const NEW_ROWS = 'pg2click_new';
const OLD_ROWS = 'pg2click_old';

/** What the functions of one table have to know. */
export interface Capture {
  readonly id: string;
  /** Oid of the table, decimal. */
  readonly relation: string;
  readonly shape: number;
  readonly level: TriggerLevel;
  readonly key: CaptureKey;
}

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
 * There is no exception handler: each firing would take a transaction id, and a full disk would look like a changed column.
 * The function's rights are its owner's, its search path is fixed. `concat` prints by the output function of a type; a cast
 * could be a function of anybody's, and would run with these rights.
 */
export function captureBody(capture: Capture, event: OutboxEvent): string {
  return event === 'truncate' ? markBody(capture) : keyBody(capture, event);
}

export function captureFunctionSql(capture: Capture, event: OutboxEvent): string {
  // As a literal, not in dollar quotes: a column may have any name, also that of a closing tag.
  const body = captureBody(capture, event);
  return /* sql */ `create or replace function ${captureFunction(capture.id, event)}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as ${literal(body)}`;
}

type KeyEvent = Exclude<OutboxEvent, 'truncate'>;

function markBody(capture: Capture): string {
  return /* sql */ `begin
    ${insertInto(capture, ['mark'])} ${values(capture, [`'t'`])};
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
  const names = key.columns.map((_, index) => `v_name${index + 1}`);
  return /* sql */ `declare
    v_style text;
    ${names.map((name) => `${name} text;`).join(' ')}
  begin
    ${typedBranch(capture, event)}
    ${key.columns.map(({ position }, index) => `${names[index] ?? ''} := (pg_identify_object_as_address(1259, tg_relid, ${position})).object_names[3];`).join('\n    ')}
    if ${key.columns.map(({ position }, index) => `${names[index] ?? ''} is null or ${names[index] ?? ''} = '........pg.dropped.${position}........'`).join(' or ')} then
      ${unknownKey(capture, event)};
      return null;
    end if;
    v_style := current_setting('datestyle');
    perform set_config('datestyle', 'ISO', true);
    execute format(${literal(looseStatement(capture, event))}, ${names.join(', ')})${usingRows(capture, event)};
    perform set_config('datestyle', v_style, true);
    return null;
  end`;
}

function typedBranch(capture: Capture, event: KeyEvent): string {
  const { columns, index } = capture.key;
  if (index === null) return '';
  const guard = columns.map(
    ({ quoted }, at) => `pg_get_indexdef(${index.oid}, ${index.places[at] ?? 0}, false) = ${literal(quoted)}`,
  );
  const targets = columns.map((_, at) => keyColumn(at));
  // Every column is qualified: a bare `found` or `tg_op` would be a variable of plpgsql.
  const statement = `${insertInto(capture, targets)} ${rowsOf(capture, event, (row) => columns.map((column) => knownType(column).image(`${row}.${quotePg(column.name)}`)))}`;
  return /* sql */ `if tg_relid = ${capture.relation} and ${guard.join(' and ')} then
      ${statement};
      return null;
    end if;`;
}

/** For `format`: `%1$I` is the name of the first key column. */
function looseStatement(capture: Capture, event: KeyEvent): string {
  const images = (row: string): string[] => {
    const values = capture.key.columns.map((_, index) => {
      const value = `${row}.%${index + 1}$I`;
      return `case when ${value} is not null then concat(${value}) collate "C" end`;
    });
    return [`array[${values.join(', ')}]`];
  };
  const parameters = capture.level === 'row' ? { new: '($1)', old: '($2)' } : undefined;
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

/** @param expressions of one row, given what a column of it is qualified by */
function rowsOf(
  capture: Capture,
  event: KeyEvent,
  expressions: (row: string) => string[],
  rows = { new: 'new', old: 'old' },
): string {
  const from = (table: string, row: string): string =>
    capture.level === 'row'
      ? values(capture, expressions(row))
      : `${values(capture, expressions('changed'))} from ${table} changed`;
  const [after, before] = [from(NEW_ROWS, rows.new), from(OLD_ROWS, rows.old)];
  // `union` keeps one of two equal images: an update that leaves the key alone writes it once.
  if (event === 'update') return `${before} union ${after}`;
  return event === 'insert' ? after : before;
}

function insertInto({ id, key }: Capture, targets: readonly string[]): string {
  return `insert into ${outboxTable(id)} (${[...targets, ...(key.hasLoose ? ['shape'] : [])].join(', ')})`;
}

function values({ shape, key }: Capture, expressions: readonly string[]): string {
  return `select ${[...expressions, ...(key.hasLoose ? [String(shape)] : [])].join(', ')}`;
}

/** The statement takes SHARE ROW EXCLUSIVE, so it waits for the writers of this moment and holds off the next ones. */
export function triggerSql(
  table: Pick<ReplicatedTable, 'id' | 'name'>,
  event: OutboxEvent,
  level: TriggerLevel,
): string {
  const transitions = [
    event === 'delete' || event === 'update' ? `old table as ${OLD_ROWS}` : '',
    event === 'insert' || event === 'update' ? `new table as ${NEW_ROWS}` : '',
  ].filter(Boolean);
  const how =
    event === 'truncate'
      ? 'for each statement'
      : level === 'row'
        ? 'for each row'
        : `referencing ${transitions.join(' ')} for each statement`;
  return /* sql */ `create or replace trigger ${quotePg(triggerName(table.id, event))} after ${event}
    on ${qualified(table.name)} ${how} execute function ${captureFunction(table.id, event)}()`;
}

/**
 * A session with `session_replication_role = replica` changes rows too. Only the owner of the table may do this; for any
 * other role there is a function of the administrator's (`sql/roles/postgres.sql`).
 */
export function enableAlwaysSql(
  replica: Pick<ReplicatedTable, 'id' | 'name'>,
  event: OutboxEvent,
  owned: boolean,
): string {
  const table = qualified(replica.name);
  const name = triggerName(replica.id, event);
  return owned
    ? /* sql */ `alter table ${table} enable always trigger ${quotePg(name)}`
    : /* sql */ `select pg2click_admin.enable_always(${literal(table)}::regclass, ${literal(name)})`;
}
