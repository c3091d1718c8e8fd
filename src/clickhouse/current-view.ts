import type { ClickHouseClient } from '@clickhouse/client';
import { comparable } from '../domain/clickhouse-type.js';
import { byPosition, columnType } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, shownName } from '../domain/replicated-table.js';
import { execute, findObject, listColumns } from './catalog.js';
import { markedShape, ownerMark, quoteText, shapeSuffix, targetNames } from './names.js';
import { isNewer, newestShape } from './shape-marker.js';
import type { TargetOwner } from './target.js';

/** The row of the target, inside the view: a name of the user's may be that of another column's alias. */
const ROW = 'pg2click_row';

/**
 * Replaces the view if it is not that of the newest shape: of other columns, of wider ones (a view keeps the types that its columns had,
 * and would wrap their values), or of one that was dropped and added. One that a newer shape has is left as it is.
 */
export async function refreshView(ch: ClickHouseClient, table: TargetOwner): Promise<void> {
  const names = targetNames(table.target);
  const { database } = table.target;
  const own = newestShape(table);
  const shown = markedShape((await findObject(ch, database, names.view))?.comment ?? '');
  if (shown !== undefined && isNewer(shown, own)) return;
  if (
    own.shape === 1
      ? shown === undefined && (await hasColumns(ch, table))
      : shown?.shape === own.shape && shown.generation === own.generation
  )
    return;
  const statement = viewDefinition(table, /* sql */ `create or replace view`);
  await execute(ch, statement, `replacing view ${database}.${names.view}`);
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
 * tombstones out; the condition repeats it for servers that read parts without merging them.
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
  const row = isMapped ? `${ROW}.` : '';
  return /* sql */ `
${create} ${names.sql.view}
as select
${selected.join(',\n')}
from ${names.sql.table}${isMapped ? ` as ${ROW}` : ''} final
where ${row}_deleted = 0 and ${row}_version > (select max(version) from ${names.sql.floor})
comment ${quoteText(`${ownerMark(table, 'view')}${shapeSuffix(newestShape(table))}`)}`;
}
