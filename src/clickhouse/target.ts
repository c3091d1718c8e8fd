import type { ClickHouseClient } from '@clickhouse/client';
import { byPosition, targetColumns } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { generationOf } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import { databaseExists, execute, findObject, listColumns, select } from './catalog.js';
import { findMisfits } from './fit.js';
import { MARK_PREFIX, ownerMark, quoteText, targetNames } from './names.js';
import type { Target, TargetNames, TargetRole } from './names.js';
import { sinkState } from './state.js';

/**
 * Blocks whose tokens the table remembers. With materialized views the source part may be committed and the view's not: a
 * retry under the same token repairs the view, but only while the token is known.
 */
const DEDUPLICATION_WINDOW = 1_000;

/** Ours, or a part of MergeTree's own (`_row_exists` marks lightweight deletes). */
const RESERVED_COLUMNS = new Set(['_version', '_deleted', '_row_exists']);

/**
 * Makes the table, its floor and its view, or checks those that exist. Idempotent: a crash between any two statements is
 * repaired by the next call, and of two callers with one target the comments let one win.
 *
 * A table that a user made is taken when it fits; the floor beside it then tells whose it is.
 *
 * @throws Failure `UnsuitableTable` a column has a reserved name; `TargetTaken` the target, its floor or its view belongs to
 *   something else; `SchemaMismatch` the table does not fit the source; and those of ClickHouse
 */
export async function createTarget(ch: ClickHouseClient, table: TargetTable): Promise<void> {
  refuseReservedColumns(table);
  const names = targetNames(table.target);
  if (!(await databaseExists(ch, table.target.database)))
    await execute(
      ch,
      /* sql */ `create database if not exists ${names.sql.database}`,
      `creating database ${table.target.database}`,
    );
  await refuseLongName(ch, table);

  // Looked at before anything is made: a target that is refused must leave nothing behind.
  const found = { table: false, floor: false, view: false };
  for (const role of ['table', 'floor', 'view'] as const) found[role] = await checkOwner(ch, table, role);
  if (found.table) await verifyTarget(ch, table);

  for (const role of ['table', 'floor', 'view'] as const) {
    if (found[role]) continue;
    await execute(ch, definitionOf(table, role), `creating ${table.target.database}.${names[role]}`);
    // Somebody else may have been faster with the same name.
    await checkOwner(ch, table, role);
  }
  if (!found.table) await verifyTarget(ch, table);
  await refreshView(ch, table);
}

/**
 * Compares the table, column by column, with what the replica needs.
 * @throws Failure `SinkSetBack` there is no such table; `SchemaMismatch` names every difference
 */
export async function verifyTarget(ch: ClickHouseClient, table: TargetTable): Promise<void> {
  const names = targetNames(table.target);
  const object = await findObject(ch, table.target.database, names.table);
  const columns = await listColumns(ch, table.target.database, names.table);
  // Without columns it was dropped between the two questions.
  if (object === undefined || columns.length === 0)
    throw new Failure('SinkSetBack', { message: `The ClickHouse table ${names.shown} does not exist.` });
  const misfits = findMisfits(table, object, columns);
  if (misfits.length === 0) return;
  throw new Failure('SchemaMismatch', {
    message: `The ClickHouse table ${names.shown} does not fit ${formatTableName(table.name)}: ${misfits.join('; ')}.`,
  });
}

/** The generation that the target has seen: a table that is added again starts above it. 0 when nothing is there. */
export async function highestGeneration(ch: ClickHouseClient, target: Target): Promise<number> {
  const { highest } = await sinkState(ch, target);
  return highest === null ? 0 : generationOf(highest);
}

/**
 * Drops view, floor and table, in this order: what is left after a crash is still marked as ours. Idempotent. What carries
 * no mark, or another owner's, stays: a table that was refused as taken must not be dropped by giving up on it.
 *
 * @param owner whose mark the objects must carry; without it anyone's of pg2click
 */
export async function dropTarget(
  ch: ClickHouseClient,
  target: Target,
  owner?: Pick<TargetTable, 'pipeline' | 'name'>,
): Promise<void> {
  const names = targetNames(target);
  for (const role of ['view', 'floor', 'table'] as const) {
    const object = await findObject(ch, target.database, names[role]);
    if (object === undefined) continue;
    const ours =
      owner === undefined ? object.comment.startsWith(MARK_PREFIX) : object.comment === ownerMark(owner, role);
    if (!ours) continue;
    const kind = role === 'view' ? 'view' : 'table';
    // Servers refuse to drop more than 50 GB unless told so.
    const statement = /* sql */ `drop ${kind} if exists ${names.sql[role]} settings max_table_size_to_drop = 0`;
    await execute(ch, statement, `dropping ${target.database}.${names[role]}`);
  }
}

function refuseReservedColumns(table: TargetTable): void {
  const reserved = table.columns.find((column) => RESERVED_COLUMNS.has(column.name));
  if (reserved === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Table ${formatTableName(table.name)} has a column "${reserved.name}": that name is reserved in its ClickHouse table.`,
    remedy: 'Rename the column, or leave the table out.',
  });
}

/** A name becomes a file name, in which every byte but ASCII letters, digits and `_` takes three. */
async function refuseLongName(ch: ClickHouseClient, replica: TargetTable): Promise<void> {
  const { database, table } = replica.target;
  const what = `measuring names of ${database}`;
  const probe = /* sql */ `select name from system.functions where name = 'getMaxTableNameLengthForDatabase'`;
  if ((await select(ch, probe, {}, what)).length === 0) return;
  const query = /* sql */ `select getMaxTableNameLengthForDatabase({database:String}) as longest`;
  const [limit] = await select<{ longest: number | string }>(ch, query, { database }, what);
  // The longest of the three names.
  const length = Buffer.from(targetNames(replica.target).view).reduce(
    (sum, byte) => sum + (/\w/u.test(String.fromCharCode(byte)) ? 1 : 3),
    0,
  );
  if (limit === undefined || length <= Number(limit.longest)) return;
  throw new Failure('UnsuitableTable', {
    message: `The name ${table}_current is too long for a view of ClickHouse in ${database}.`,
    remedy: 'Remove the table and add it again with --target and a shorter name.',
  });
}

/**
 * @returns whether the object exists
 * @throws Failure `TargetTaken` when it is not this replica's
 */
async function checkOwner(ch: ClickHouseClient, table: TargetTable, role: TargetRole): Promise<boolean> {
  const names = targetNames(table.target);
  const object = await findObject(ch, table.target.database, names[role]);
  if (object === undefined) return false;
  const { comment } = object;
  if (comment === ownerMark(table, role)) return true;
  // A table without a mark is a user's: it may serve when it fits. A floor or a view without one is in the way.
  const usable = role === 'table' && !comment.startsWith(MARK_PREFIX) && object.engine.includes('MergeTree');
  if (usable) return true;
  const owner = comment.startsWith(MARK_PREFIX)
    ? `is ${comment.slice(MARK_PREFIX.length)} of pg2click`
    : `was not made by pg2click (${object.engine})`;
  throw new Failure('TargetTaken', {
    message: `The ClickHouse name ${table.target.database}.${names[role]}, needed for ${formatTableName(table.name)}, is taken: it ${owner}.`,
  });
}

/** After a table was removed and added again with other columns its old view may still be there. */
async function refreshView(ch: ClickHouseClient, table: TargetTable): Promise<void> {
  const names = targetNames(table.target);
  const shown = await listColumns(ch, table.target.database, names.view);
  const wanted = byPosition(table.columns).map(({ name }) => name);
  if (shown.map(({ name }) => name).join('\0') === wanted.join('\0')) return;
  const statement = viewDefinition(table, names, /* sql */ `create or replace view`);
  await execute(ch, statement, `replacing view ${table.target.database}.${names.view}`);
}

function definitionOf(table: TargetTable, role: TargetRole): string {
  const names = targetNames(table.target);
  if (role === 'table') return tableDefinition(table, names);
  if (role === 'floor') return floorDefinition(table, names);
  return viewDefinition(table, names, /* sql */ `create view if not exists`);
}

function tableDefinition(table: TargetTable, names: TargetNames): string {
  const columns = targetColumns(table).map(({ name, type }) => `  ${quoteCh(name)} ${type}`);
  return /* sql */ `
create table if not exists ${names.sql.table}
(
${columns.join(',\n')}
)
engine = ReplacingMergeTree(_version, _deleted)
order by (${table.key.map(quoteCh).join(', ')})
settings non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}
comment ${quoteText(ownerMark(table, 'table'))}`;
}

/** One row a TRUNCATE. The time is for people; nothing rests on it. */
function floorDefinition(table: TargetTable, names: TargetNames): string {
  return /* sql */ `
create table if not exists ${names.sql.floor}
(
  version UInt128,
  written_at DateTime64(3, 'UTC') default now64(3)
)
engine = ReplacingMergeTree
order by version
comment ${quoteText(ownerMark(table, 'floor'))}`;
}

/**
 * The live rows. `max` of an empty floor is 0, below every version, so no floor hides nothing. FINAL already leaves
 * tombstones out; the condition repeats it for servers that read parts without merging them.
 */
function viewDefinition(table: TargetTable, names: TargetNames, create: string): string {
  const columns = byPosition(table.columns).map(({ name }) => `  ${quoteCh(name)}`);
  return /* sql */ `
${create} ${names.sql.view}
as select
${columns.join(',\n')}
from ${names.sql.table} final
where _deleted = 0 and _version > (select max(version) from ${names.sql.floor})
comment ${quoteText(ownerMark(table, 'view'))}`;
}
