import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import type { Version } from '../domain/version.js';
import { execute, select } from './catalog.js';
import { targetNames } from './names.js';

type FloorOwner = Pick<TargetTable, 'target'>;

/**
 * Hides every row at or below `version`: what a TRUNCATE is. Idempotent, and in any order: the highest floor counts.
 * Returns when the floor is written, so `<table>_current` shows it from then on.
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
 * Removes, in the background, the rows that the floor hides anyway. Best effort: rows that arrive later stay hidden, and
 * the next call takes them. Only what is at or below the floor goes; OPTIMIZE .. CLEANUP would take the tombstones above
 * it too, and a replay would bring deleted rows back.
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
  // The number, not a subquery: a mutation is run later, on every replica.
  const statement = /* sql */ `
alter table ${sql.table} delete where _version <= toUInt128('${state.floor}')
settings mutations_sync = 0`;
  await execute(ch, statement, what);
}
