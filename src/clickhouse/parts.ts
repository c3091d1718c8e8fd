import type { ClickHouseClient } from '@clickhouse/client';
import { select } from './catalog.js';
import type { Target } from './names.js';

/** Active parts in the fullest partition of a table. */
export interface PartCount extends Target {
  readonly parts: number;
}

/**
 * The parts of all tables that have any, in the databases of these targets: one query.
 * @throws Failure those of ClickHouse
 */
export async function countParts(ch: ClickHouseClient, targets: readonly Target[]): Promise<readonly PartCount[]> {
  const databases = [...new Set(targets.map(({ database }) => database))];
  const rows = await select<{ database: string; table: string; parts: string }>(
    ch,
    /* sql */ `
    select database, table, toString(max(active_parts)) as parts
    from (
      select database, table, partition_id, count() as active_parts
      from system.parts
      where active and has(JSONExtract({databases: String}, 'Array(String)'), database)
      group by database, table, partition_id
    )
    group by database, table`,
    { databases: JSON.stringify(databases) },
    'counting active parts',
  );
  return rows.map(({ database, table, parts }) => ({ database, table, parts: Number(parts) }));
}
