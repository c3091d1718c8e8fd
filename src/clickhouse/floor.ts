import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import type { Version } from '../domain/version.js';
import { execute, select } from './catalog.js';
import { targetNames } from './names.js';

type FloorOwner = Pick<TargetTable, 'target'>;

/**
 * Hides every row at or below `version`, as a TRUNCATE does. Idempotent, and in any order: the highest floor counts. When it
 * returns, `<table>_current` obeys the floor.
 */
export async function writeFloor(ch: ClickHouseClient, table: FloorOwner, version: Version): Promise<void> {
  const { sql, shown } = targetNames(table.target);
  const statement = /* sql */ `
insert into ${sql.floor} (version)
select toUInt128('${version}')
settings async_insert = 0`;
  await execute(ch, statement, `writing the floor of ${shown}`);
}

/**
 * Deletes, in the background, the rows that the floor hides. Best effort: rows that arrive later stay hidden until the next call
 * deletes them. Only rows at or below the floor go. OPTIMIZE .. CLEANUP would remove the tombstones above it too, and a repeat of
 * older messages would bring deleted rows back.
 */
export async function deleteBelowFloor(ch: ClickHouseClient, table: FloorOwner): Promise<void> {
  const { sql, shown } = targetNames(table.target);
  const what = `removing truncated rows of ${shown}`;
  const query = /* sql */ `
select toString(max(version)) as floor, max(version) > 0 and exists(
  select 1 from ${sql.table} where _version <= (select max(version) from ${sql.floor})
) as hidden
from ${sql.floor}`;
  const [state] = await select<{ floor: string; hidden: number }>(ch, query, {}, what);
  // A mutation of nothing still clones every part.
  if (state === undefined || !state.hidden) return;
  // The number, not a subquery: a mutation runs later, on every replica.
  const statement = /* sql */ `
alter table ${sql.table} delete where _version <= toUInt128('${state.floor}')
settings mutations_sync = 0`;
  await execute(ch, statement, what);
}
