import type { ClickHouseClient } from '@clickhouse/client';
import { comparable } from '../domain/clickhouse-type.js';
import { byPosition, columnType } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, shownName } from '../domain/replicated-table.js';
import { execute, findObject, listColumns, select } from './catalog.js';
import { markedShape, ownerMark, quoteText, shapeSuffix, targetNames } from './names.js';
import { isNewer, newestShape } from './shape-marker.js';
import { onCluster } from './storage-sql.js';
import type { TargetOwner } from './target.js';

/** The row of the target, inside the view: a name of the user's may be that of another column's alias. */
const ROW = 'pg2click_row';

/**
 * Replaces the view if it is not that of the newest shape: of other columns, of wider ones (a view keeps the types that its columns had,
 * and would wrap their values), or of one that was dropped and added. One that a newer shape has is left as it is.
 *
 * @param isKept that of an earlier life of the table may be there, with another TTL
 */
export async function refreshView(
  ch: ClickHouseClient,
  table: TargetOwner,
  { isKept = false }: { readonly isKept?: boolean } = {},
): Promise<void> {
  const names = targetNames(table.target);
  const { database } = table.target;
  const own = newestShape(table);
  const shown = markedShape((await findObject(ch, database, names.view))?.comment ?? '');
  if (shown !== undefined && isNewer(shown, own)) return;
  const mayExpire = isKept && (table.layout?.ttl !== undefined || (await contains(ch, table, '> now()')));
  if (mayExpire) await replaceView(ch, table);
  const isOwn =
    own.shape === 1
      ? shown === undefined && (await hasColumns(ch, table))
      : shown?.shape === own.shape && shown.generation === own.generation;
  // Views that older releases made leave it to the profile of who reads.
  if (isOwn && (await contains(ch, table, FINAL_FIRST))) return;
  await replaceView(ch, table);
}

async function replaceView(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const statement = viewDefinition(table, /* sql */ `create or replace view`);
  await execute(ch, statement, `replacing view ${table.target.database}.${targetNames(table.target).view}`);
}

const FINAL_FIRST = 'optimize_move_to_prewhere_if_final';

async function contains(ch: ClickHouseClient, { target }: TargetOwner, text: string): Promise<boolean> {
  const query = /* sql */ `select position(as_select, {text:String}) > 0 as found from system.tables
    where database = {database:String} and name = {name:String}`;
  const { view: name } = targetNames(target);
  const what = `reading the view ${name}`;
  const [row] = await select<{ found: number }>(ch, query, { database: target.database, name, text }, what);
  return Boolean(row?.found);
}

/** After a table was removed and added again with other columns, or with wider ones, its old view may still be there. */
async function hasColumns(ch: ClickHouseClient, table: TargetOwner): Promise<boolean> {
  const columns = await listColumns(ch, table.target.database, targetNames(table.target).view);
  const has = columns.map(({ name, type }) => `${name} ${comparable(type)}`);
  const wanted = byPosition(table.columns).map(
    (column) => `${shownName(column)} ${comparable(columnType(column).clickhouse(column))}`,
  );
  return has.join('\0') === wanted.join('\0');
}

/**
 * The live rows. `max` of an empty floor is 0, below every version, so no floor hides nothing. FINAL already leaves
 * tombstones out; the condition repeats it for servers that read parts without merging them. Where a reader's profile moves that condition
 * before FINAL, a tombstone would be filtered away before it hides its row: the view says no.
 */
export function viewDefinition(table: TargetOwner, create: string): string {
  const names = targetNames(table.target);
  const columns = byPosition(table.columns);
  const isMapped = columns.some((column) => physicalName(column) !== shownName(column));
  const selected = columns.map((column) =>
    isMapped
      ? `  ${ROW}.${quoteCh(physicalName(column))} as ${quoteCh(shownName(column))}`
      : `  ${quoteCh(physicalName(column))}`,
  );
  const isNamed = isMapped || table.layout?.ttl !== undefined;
  const row = isNamed ? `${ROW}.` : '';
  return /* sql */ `
${create} ${names.sql.view}${onCluster(table)}
as select
${selected.join(',\n')}
from ${rowsSql(table)}${isNamed ? ` as ${ROW}` : ''}${table.layout?.ttl === undefined ? ' final' : ''}
where ${row}_deleted = 0 and ${row}_version > (select max(version) from ${names.sql.floor})
settings ${FINAL_FIRST} = 0
comment ${quoteText(`${ownerMark(table, 'view')}${shapeSuffix(newestShape(table))}`)}`;
}

/**
 * Rows with a TTL of ours are hidden when they expire: ClickHouse deletes them when it merges their part, the newest version of a row
 * before older ones, it may be. They are selected inside, where no alias hides a column that the TTL uses.
 */
function rowsSql({ layout, target }: TargetOwner): string {
  const { sql } = targetNames(target);
  if (layout?.ttl === undefined) return sql.table;
  return /* sql */ `(select * from ${sql.table} final where (${layout.ttl}\n) > now())`;
}
