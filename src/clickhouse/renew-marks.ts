import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { execute, findObjects } from './catalog.js';
import { isOldMark, ownerMark, quoteText, targetNames, REPLACING_ROLES } from './names.js';

/**
 * Marks of before deployments had an identity get that of the table's deployment. Idempotent; what has no mark keeps none. A
 * user of ClickHouse who may not change comments is no reason to stop a table: the old marks count as those of a table that was adopted, too.
 */
export async function renewMarks(ch: ClickHouseClient, table: TargetTable, log: Log): Promise<void> {
  const { database } = table.target;
  const names = targetNames(table.target);
  const objects = await findObjects(
    ch,
    database,
    REPLACING_ROLES.map((role) => names[role]),
  );
  for (const role of REPLACING_ROLES) {
    if (!isOldMark(objects.get(names[role])?.comment ?? '', table, role)) continue;
    const mark = quoteText(ownerMark(table, role));
    const what = `marking ${database}.${names[role]}`;
    try {
      await execute(ch, /* sql */ `alter table ${names.sql[role]} modify comment ${mark}`, what);
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== 'Unauthorized') throw error;
      log.warn({ kind: error.kind }, error.message);
    }
  }
}
