import type { ClickHouseClient } from '@clickhouse/client';
import { RESERVED_COLUMNS, targetColumns } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, type TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { composeVersion, generationOf } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import { retryCommand, takenRemedy, type AddedTable } from '../failure/remedies.js';
import { databaseExists, execute, findObject, findObjects, listColumns, select, type SinkObject } from './catalog.js';
import { refreshView, viewDefinition } from './current-view.js';
import { findMisfits, findOtherLayout } from './fit.js';
import { judgeLayout } from './judge-layout.js';
import { columnDefinitions } from './missing-values.js';
import { misfitMessage, misfitRemedy } from './misfit.js';
import { isOldMark, isOwnMark, MARK_PREFIX, ownerMark, quoteText, REPLACING_ROLES, targetNames } from './names.js';
import type { Target, TargetNames, TargetRole } from './names.js';
import { sinkState } from './state.js';
import { onCluster, replicated, storageSql } from './storage-sql.js';

/**
 * Blocks whose tokens the table remembers. With materialized views the source part may be committed and the view's not: a
 * retry under the same token repairs the view, but only while the token is known.
 */
export const DEDUPLICATION_WINDOW = 1_000;

/** What of a table its target is made from: known before the table has a row in the ledger. */
export type TargetOwner = Pick<
  TargetTable,
  'deployment' | 'oldMarks' | 'pipeline' | 'columns' | 'shapes' | 'target' | 'engine' | 'layout'
> &
  AddedTable & { readonly generation?: number };

type ReplacingRole = (typeof REPLACING_ROLES)[number];
type Found = Readonly<Record<ReplacingRole, boolean>>;

/**
 * Looks whether the target can be made, and makes nothing. A table that a user made may serve when it fits and is empty.
 * @returns which of its objects are there; undefined without its database
 * @throws Failure `UnsuitableTable` a column has a reserved name, or its layout is refused; `TargetTaken` the target, its floor or its view belongs to
 *   something else, or holds rows of somebody else; `SchemaMismatch` the table does not fit the source; and those of ClickHouse
 */
export async function checkTarget(ch: ClickHouseClient, table: TargetOwner): Promise<Found | undefined> {
  refuseReservedColumns(table);
  if (!(await databaseExists(ch, table.target.database))) {
    await judgeLayout(ch, table);
    return undefined;
  }
  await refuseLongName(ch, table, 'view');
  const names = targetNames(table.target);
  const objects = await findObjects(
    ch,
    table.target.database,
    REPLACING_ROLES.map((role) => names[role]),
  );
  const found = { table: false, floor: false, view: false };
  for (const role of REPLACING_ROLES) found[role] = isOwn(table, role, objects.get(names[role]));
  if (!found.table) {
    await judgeLayout(ch, table);
    return found;
  }
  await verifyTarget(ch, table);
  await refuseOtherLayout(ch, table);
  // A floor with our mark beside it: the table is ours already, even if a user created it.
  if (!found.floor) await refuseForeignRows(ch, table);
  return found;
}

/**
 * Makes the table, its floor and its view, or checks those that exist. Idempotent: a crash between any two statements is
 * repaired by the next call, and of two callers with one target the comments let one win.
 *
 * A table that a user made is taken when it fits; the floor beside it then says whose it is.
 *
 * @throws Failure as `checkTarget`
 */
export async function createTarget(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const { database } = table.target;
  const names = targetNames(table.target);
  // Checked before anything is made: a target that is refused must leave nothing behind.
  let found = await checkTarget(ch, table);
  if (found === undefined) {
    const statement = /* sql */ `create database if not exists ${names.sql.database}${onCluster(table)}`;
    await execute(ch, statement, `creating database ${database}`);
    found = (await checkTarget(ch, table)) ?? { table: false, floor: false, view: false };
  }
  for (const role of REPLACING_ROLES) {
    if (found[role]) continue;
    await execute(ch, await definitionOf(ch, table, role), `creating ${database}.${names[role]}`);
    // Somebody else may have been faster with the same name.
    isOwn(table, role, await findObject(ch, database, names[role]));
  }
  if (!found.table) await verifyTarget(ch, table);
  await refreshView(ch, table, { isKept: found.view });
}

/**
 * Compares the table, column by column, with what the replica needs.
 * @throws Failure `SinkSetBack` there is no such table; `SchemaMismatch` names every difference
 */
export async function verifyTarget(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const names = targetNames(table.target);
  const object = await findObject(ch, table.target.database, names.table);
  const columns = await listColumns(ch, table.target.database, names.table);
  // Without columns it was dropped between the two questions.
  if (object === undefined || columns.length === 0)
    throw new Failure('SinkSetBack', { message: `The ClickHouse table ${names.shown} does not exist.` });
  const misfits = findMisfits(table, object, columns);
  if (misfits.length === 0) return;
  throw new Failure('SchemaMismatch', {
    message: misfitMessage(table, misfits),
    // `remove --drop-target` keeps what a user made: the remedy of this kind would lead back here.
    remedy: object.comment.startsWith(MARK_PREFIX) ? undefined : misfitRemedy(table, misfits),
  });
}

/**
 * A table that is there keeps its order and its partitions: where others were asked for, they would be ignored.
 * @throws Failure `SchemaMismatch`
 */
export async function refuseOtherLayout(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  if (table.layout === undefined) return;
  const object = await findObject(ch, table.target.database, targetNames(table.target).table);
  const what = 'formatting the options of its target';
  const query = /* sql */ `select formatQuerySingleLine({query:String}) as text`;
  const wanted = /* sql */ `create table t (c UInt8) ${storageSql(table)}`;
  const [formatted] = await select<{ text: string }>(ch, query, { query: wanted }, what);
  const misfits = findOtherLayout(table, object?.engineFull ?? '', formatted?.text ?? '');
  if (misfits.length === 0) return;
  throw new Failure('SchemaMismatch', {
    message: misfitMessage(table, misfits),
    remedy: misfitRemedy(table, misfits),
  });
}

/** The generation that the target has seen: a table that is added again starts above it. 0 when nothing is there. */
export async function highestGeneration(ch: ClickHouseClient, target: Target): Promise<number> {
  const { highest } = await sinkState(ch, target);
  return highest === null ? 0 : generationOf(highest);
}

export async function hasTarget(ch: ClickHouseClient, { target }: Pick<TargetTable, 'target'>): Promise<boolean> {
  return (await findObject(ch, target.database, target.table)) !== undefined;
}

function refuseReservedColumns(table: TargetOwner): void {
  const reserved = table.columns.find((column) => RESERVED_COLUMNS.includes(physicalName(column)));
  if (reserved === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Table ${formatTableName(table.name)} has a column "${reserved.name}": that name is reserved in its ClickHouse table.`,
    remedy: 'Rename the column, or leave the table out.',
  });
}

/**
 * A name becomes a file name, in which every byte but ASCII letters, digits and `_` takes three.
 * @param longest the role with the longest name
 * @throws Failure `UnsuitableTable`
 */
export async function refuseLongName(ch: ClickHouseClient, table: TargetOwner, longest: TargetRole): Promise<void> {
  const { target } = table;
  const { database } = target;
  const shown = targetNames(target)[longest];
  const what = `measuring names of ${database}`;
  const probe = /* sql */ `select name from system.functions where name = 'getMaxTableNameLengthForDatabase'`;
  if ((await select(ch, probe, {}, what)).length === 0) return;
  const query = /* sql */ `select getMaxTableNameLengthForDatabase({database:String}) as longest`;
  const [limit] = await select<{ longest: number | string }>(ch, query, { database }, what);
  const length = Buffer.from(shown).reduce((sum, byte) => sum + (/\w/u.test(String.fromCharCode(byte)) ? 1 : 3), 0);
  if (limit === undefined || length <= Number(limit.longest)) return;
  throw new Failure('UnsuitableTable', {
    message: `The name ${shown} is too long for ClickHouse in ${database}.`,
    remedy: takenRemedy(table, 'target'),
  });
}

/** Versions of pg2click begin here: a generation of at least 1. */
const LOWEST_VERSION = composeVersion(1, 0n);

/**
 * Rows that somebody else wrote would be shown for ever beside those of the source; a floor would hide them, and the removal of what
 * a floor hides would delete them. Whether they may go is for their owner to say. Rows of an earlier life of a table stay: the
 * next generation hides them.
 */
async function refuseForeignRows(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const { sql, shown } = targetNames(table.target);
  const query = /* sql */ `select 1 as found from ${sql.table} where _version < toUInt128('${LOWEST_VERSION}') limit 1`;
  if ((await select(ch, query, {}, `looking for rows in ${shown}`)).length === 0) return;
  throw foreignRows(table);
}

/**
 * Other tools have versions too, and those of nanoseconds or hashes look like high generations. A table that neither has our mark nor
 * a floor beside it holds no generation that this one never had.
 * @param highest generation of the rows in the target; @param past the highest that the table ever had
 * @throws Failure `TargetTaken`
 */
export async function refuseUnknownGeneration(
  ch: ClickHouseClient,
  table: AddedTable & Pick<TargetTable, 'target'>,
  { highest, past }: { readonly highest: number; readonly past: number },
): Promise<void> {
  if (highest <= past) return;
  const { database } = table.target;
  const names = targetNames(table.target);
  const objects = await findObjects(ch, database, [names.table, names.floor]);
  const isMarked = objects.get(names.table)?.comment.startsWith(MARK_PREFIX) === true;
  if (isMarked || objects.has(names.floor)) return;
  throw foreignRows(table);
}

function foreignRows(table: AddedTable & Pick<TargetTable, 'target'>): Failure {
  const { shown } = targetNames(table.target);
  const title = formatTableName(table.name);
  return new Failure('TargetTaken', {
    message: `The ClickHouse table ${shown} holds rows that pg2click did not write: they would be mixed with those of ${title}.`,
    remedy:
      `If nobody needs them, run truncate table ${shown} in ClickHouse, then ${retryCommand(table)}. ` +
      `Otherwise: ${takenRemedy(table, 'target')}`,
  });
}

/**
 * @returns whether the object exists
 * @throws Failure `TargetTaken` when it is not this table's
 */
export function isOwn(table: TargetOwner, role: TargetRole, object: SinkObject | undefined): boolean {
  const names = targetNames(table.target);
  if (object === undefined) return false;
  const { comment } = object;
  if (isOwnMark(comment, table, role)) return true;
  // A table without a mark is a user's: it may serve when it fits. A floor or a view without one is in the way.
  const usable = role === 'table' && !comment.startsWith(MARK_PREFIX) && object.engine.includes('MergeTree');
  if (usable) return true;
  if (isOldMark(comment, table, role)) throw ownerUnknown(table, role);
  const owner = comment.startsWith(MARK_PREFIX)
    ? `is that of ${comment}`
    : `was not made by pg2click (${object.engine})`;
  throw new Failure('TargetTaken', {
    message: `The ClickHouse name ${table.target.database}.${names[role]}, needed for ${ownerMark(table, 'table')}, is taken: it ${owner}.`,
    remedy: takenRemedy(table, 'target'),
  });
}

/** The same name in another database, of another deployment, has the same mark. */
function ownerUnknown(table: TargetOwner, role: TargetRole): Failure {
  const names = targetNames(table.target);
  const { database } = table.target;
  const title = formatTableName(table.name);
  const others = `${database}.${names.view} and ${database}.${names.floor}`;
  return new Failure('TargetTaken', {
    message: `The ClickHouse name ${database}.${names[role]} is taken: an older release made it for ${title} and did not mark of which deployment, so it may be that of another one.`,
    remedy:
      `${takenRemedy(table, 'target')}. If no other deployment loads it, drop ` +
      `${role === 'table' ? `${names.shown}, ${others}` : others} in ClickHouse, then run ${retryCommand(table)}.`,
  });
}

async function definitionOf(ch: ClickHouseClient, table: TargetOwner, role: ReplacingRole): Promise<string> {
  const names = targetNames(table.target);
  if (role === 'table') return tableDefinition(ch, table, names);
  if (role === 'floor') return floorDefinition(table, names);
  return viewDefinition(table, /* sql */ `create view if not exists`);
}

async function tableDefinition(ch: ClickHouseClient, table: TargetOwner, names: TargetNames): Promise<string> {
  const own = targetColumns({ columns: [] }).map(({ name, type }) => `${quoteCh(name)} ${type}`);
  const columns = [...(await columnDefinitions(ch, table.columns)), ...own];
  return /* sql */ `
create table if not exists ${names.sql.table}${onCluster(table)}
(
  ${columns.join(',\n  ')}
)
${storageSql(table)}
settings non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}
comment ${quoteText(ownerMark(table, 'table'))}`;
}

/** One row a TRUNCATE. The time is for people; nothing rests on it. */
function floorDefinition(table: TargetOwner, names: TargetNames): string {
  return /* sql */ `
create table if not exists ${names.sql.floor}${onCluster(table)}
(
  version UInt128,
  written_at DateTime64(3, 'UTC') default now64(3)
)
engine = ${replicated(table)}ReplacingMergeTree
order by version
comment ${quoteText(ownerMark(table, 'floor'))}`;
}
