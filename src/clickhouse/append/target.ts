import type { ClickHouseClient } from '@clickhouse/client';
import { RESERVED_COLUMNS } from '../../domain/column-type.js';
import { isLog, LOG_COLUMNS, nameOfLog, SEQ_COLUMN } from '../../domain/log-columns.js';
import { quoteCh } from '../../domain/identifier.js';
import { physicalName } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { retryCommand, takenRemedy } from '../../failure/remedies.js';
import { databaseExists, execute, findObject, findObjects, listColumns, select } from '../catalog.js';
import { judgeLayout } from '../judge-layout.js';
import { columnDefinitions } from '../missing-values.js';
import { misfitMessage, misfitRemedy } from '../misfit.js';
import { APPEND_ROLES, ownerMark, quoteText, targetNames, type Target } from '../names.js';
import { storageSql } from '../storage-sql.js';
import { DEDUPLICATION_WINDOW, isOwn, refuseLongName, refuseOtherLayout, type TargetOwner } from '../target.js';
import { generationOfEpoch } from './epoch.js';
import { readFence } from './fence.js';
import { findAppendMisfits } from './fit.js';
import { requireWindows, type FilledTable } from './views.js';

/** A repeat and the verification of confirmed rows find rows by their number: it keeps them from reading older parts. */
const SEQ_INDEX = `index pg2click_seq ${SEQ_COLUMN} type minmax granularity 1`;

type Found = Readonly<Record<(typeof APPEND_ROLES)[number], boolean>>;

/**
 * Looks whether the target can be made, and makes nothing. A table that a user made may serve when it fits and is empty.
 * @returns which of its objects are there; undefined without its database
 * @throws Failure `UnsuitableTable` a column has a reserved name; `TargetTaken` the target or its fence belongs to something else, or
 *   holds rows; `SchemaMismatch` the table does not fit the source; and those of ClickHouse
 */
export async function checkAppendTarget(ch: ClickHouseClient, table: TargetOwner): Promise<Found | undefined> {
  refuseReservedColumn(table);
  if (!(await databaseExists(ch, table.target.database))) {
    await judgeLayout(ch, table);
    return undefined;
  }
  await refuseLongName(ch, table, 'fence');
  const names = targetNames(table.target);
  const objects = await findObjects(
    ch,
    table.target.database,
    APPEND_ROLES.map((role) => names[role]),
  );
  const found = { table: false, fence: false };
  for (const role of APPEND_ROLES) found[role] = isOwn(table, role, objects.get(names[role]));
  if (!found.table) {
    await judgeLayout(ch, table);
    return found;
  }
  await verifyAppendTarget(ch, table);
  await refuseOtherLayout(ch, table);
  await refuseRows(ch, table);
  return found;
}

/**
 * Makes the table and its fence, or checks those that exist. Idempotent.
 * @throws Failure as `checkAppendTarget`
 */
export async function createAppendTarget(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const { database } = table.target;
  const names = targetNames(table.target);
  let found = await checkAppendTarget(ch, table);
  if (found === undefined) {
    const statement = /* sql */ `create database if not exists ${names.sql.database}`;
    await execute(ch, statement, `creating database ${database}`);
    found = (await checkAppendTarget(ch, table)) ?? { table: false, fence: false };
  }
  for (const role of APPEND_ROLES) {
    if (found[role]) continue;
    const statement = role === 'table' ? await tableDefinition(ch, table) : fenceDefinition(table);
    await execute(ch, statement, `creating ${database}.${names[role]}`);
    // Somebody else may have been faster with the same name.
    isOwn(table, role, await findObject(ch, database, names[role]));
  }
  if (!found.table) await verifyAppendTarget(ch, table);
}

/**
 * Compares the table with what the source needs, and the tables behind its materialized views with what a repeat needs.
 * @returns the tables that an insert fills
 * @throws Failure `SinkSetBack` there is no such table; `SchemaMismatch` names every difference, and the SQL that mends it
 */
export async function verifyAppendTarget(ch: ClickHouseClient, table: TargetOwner): Promise<readonly FilledTable[]> {
  const { database } = table.target;
  const { shown, table: name } = targetNames(table.target);
  const object = await findObject(ch, database, name);
  const columns = await listColumns(ch, database, name);
  // Without columns it was dropped between the two questions.
  if (object === undefined || columns.length === 0)
    throw new Failure('SinkSetBack', { message: `The ClickHouse table ${shown} does not exist.` });
  const misfits = findAppendMisfits(table, object, columns);
  if (misfits.length > 0)
    throw new Failure('SchemaMismatch', {
      message: misfitMessage(table, misfits),
      remedy: misfitRemedy(table, misfits),
    });
  return requireWindows(ch, table.target);
}

/** The fence outlives the table in the ledger: a table that is added again starts above all that was sent before. */
export async function highestAppendGeneration(ch: ClickHouseClient, target: Target): Promise<number> {
  return generationOfEpoch(await readFence(ch, target));
}

/** Made again where somebody dropped it: until then no insert passes. */
export async function ensureFence(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const { fence, shown } = targetNames(table.target);
  if (isOwn(table, 'fence', await findObject(ch, table.target.database, fence))) return;
  await execute(ch, fenceDefinition(table), `creating the fence of ${shown}`);
}

function refuseReservedColumn(table: TargetOwner): void {
  const { name, columns } = table;
  const reserved =
    columns.find((column) => RESERVED_COLUMNS.includes(physicalName(column)))?.name ??
    (isLog(table) ? nameOfLog(columns) : undefined);
  if (reserved === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Table ${formatTableName(name)} has a column "${reserved}": that name is reserved in its ClickHouse table.`,
    remedy: `Give it another name with --rename-column ${reserved}=NAME, or leave it out with --exclude-column ${reserved}.`,
  });
}

/**
 * The table is read from its first row, and nothing replaces a row that is there. Rows that are there already may be those of the
 * source, loaded by another program or by an earlier life of this table, or those of another source under the same ids: only their
 * owner can say.
 */
async function refuseRows(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const { sql, shown } = targetNames(table.target);
  const query = /* sql */ `select 1 as found from ${sql.table} limit 1`;
  if ((await select(ch, query, {}, `looking for rows in ${shown}`)).length === 0) return;
  // History that PostgreSQL does not have any more.
  if (isLog(table))
    throw new Failure('TargetTaken', {
      message: `The ClickHouse table ${shown} holds rows already, and a log begins in an empty one.`,
      remedy: takenRemedy(table, 'target'),
    });
  throw new Failure('TargetTaken', {
    message: `The ClickHouse table ${shown} holds rows already: all rows of ${formatTableName(table.name)} would be added to them, and those that are there would be there twice.`,
    remedy:
      `If all of them come from ${formatTableName(table.name)}, stop what inserts them, run truncate table ${shown} in ClickHouse, ` +
      `then ${retryCommand(table)}: they are loaded again. Otherwise: ${takenRemedy(table, 'target')}`,
  });
}

async function tableDefinition(ch: ClickHouseClient, table: TargetOwner): Promise<string> {
  const columns = await columnDefinitions(ch, table.columns);
  if (isLog(table)) columns.push(...LOG_COLUMNS.map(({ name, type }) => `${quoteCh(name)} ${type}`), SEQ_INDEX);
  return /* sql */ `
create table if not exists ${targetNames(table.target).sql.table}
(
  ${columns.join(',\n  ')}
)
${storageSql({ ...table, engine: 'merge-tree' })}
settings non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}
comment ${quoteText(ownerMark(table, 'table'))}`;
}

/** Merges leave one row: the highest epoch. The time is for people; nothing rests on it. */
function fenceDefinition(table: TargetOwner): string {
  return /* sql */ `
create table if not exists ${targetNames(table.target).sql.fence}
(
  epoch UInt128,
  written_at DateTime64(3, 'UTC') default now64(3)
)
engine = ReplacingMergeTree(epoch)
order by tuple()
comment ${quoteText(ownerMark(table, 'fence'))}`;
}
