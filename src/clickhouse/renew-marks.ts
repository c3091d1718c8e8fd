import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import { execute, findObjects } from './catalog.js';
import { ownerMark, quoteText, targetNames, TARGET_ROLES } from './names.js';

/** Marks of before deployments had an identity get that of the table's deployment. Idempotent; what has no mark keeps none. */
export async function renewMarks(ch: ClickHouseClient, table: TargetTable): Promise<void> {
  const { database } = table.target;
  const { pipeline, name } = table;
  const names = targetNames(table.target);
  const objects = await findObjects(
    ch,
    database,
    TARGET_ROLES.map((role) => names[role]),
  );
  for (const role of TARGET_ROLES) {
    if (objects.get(names[role])?.comment !== ownerMark({ pipeline, name }, role)) continue;
    const mark = quoteText(ownerMark(table, role));
    const statement = /* sql */ `alter table ${names.sql[role]} modify comment ${mark}`;
    await execute(ch, statement, `marking ${database}.${names[role]}`);
  }
}
