import type { ClickHouseClient } from '@clickhouse/client';
import { quoteCh } from '../../domain/identifier.js';
import { isLog, rowKey } from '../../domain/log-columns.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { findObject, select } from '../catalog.js';
import { targetNames } from '../names.js';
import { rangeCondition, type Range } from './insert.js';
import type { AppendProof } from './proof.js';

/**
 * Looks for rows that were confirmed. Rows that a TTL or a DELETE of the user's takes away are no loss: with a TTL nothing is looked
 * for, and after a DELETE only that some row is there.
 * @throws Failure `SinkSetBack`
 */
export async function verifyRows(ch: ClickHouseClient, table: TargetTable, proof: AppendProof): Promise<void> {
  const { sql, shown } = targetNames(table.target);
  if (proof.last === undefined || (await expires(ch, table))) return;
  const column = quoteCh(proof.column);
  const query = /* sql */ `
    select exists(select 1 from ${sql.table} where ${column} = ${BigInt(proof.last)})
      and exists(select 1 from ${sql.table} where ${column} = ${BigInt(proof.witness ?? proof.last)}) as isThere,
      exists(select 1 from ${sql.table}) as isFilled,
      exists(select 1 from system.mutations
        where database = {database:String} and table = {table:String}
          and (command ilike '%delete%' or command ilike '%_row_exists%')) as isDeletedFrom`;
  const what = `looking for rows of ${shown} that were confirmed`;
  const [found] = await select<Record<'isThere' | 'isFilled' | 'isDeletedFrom', number>>(
    ch,
    query,
    { database: table.target.database, table: table.target.table },
    what,
  );
  if (found === undefined || found.isThere || (found.isFilled && found.isDeletedFrom)) return;
  throw new Failure('SinkSetBack', {
    message: `${shown} in ClickHouse ${found.isFilled ? 'lacks rows that were confirmed' : 'is empty, and rows were confirmed'} for ${formatTableName(table.name)}.`,
    remedy: `First check that all workers name the same ClickHouse server, then resume. ${afterLoss(table)}`,
  });
}

/** What a log has left is history that PostgreSQL does not have any more: it stays, and another one begins. */
function afterLoss(table: TargetTable): string {
  if (isLog(table)) return copyAgainRemedy(table, { dropTarget: false, first: 'Only if rows are really lost:' });
  const { shown } = targetNames(table.target);
  return (
    `Only if rows are really lost, remove the table, run truncate table ${shown} in ClickHouse, and add it again: ` +
    'all rows are loaded again.'
  );
}

/**
 * After a repeat: all rows of the batch are there. A server that was killed may remember the token of a block that it lost.
 * @param rows that the source gave for the range
 * @throws Failure `SinkSetBack`
 */
export async function verifyRange(ch: ClickHouseClient, table: TargetTable, range: Range, rows: number): Promise<void> {
  if (await expires(ch, table)) return;
  const { sql, shown } = targetNames(table.target);
  const key = rowKey(table).map(quoteCh).join(', ');
  const query = /* sql */ `select toString(uniqExact(${key})) as rows from ${sql.table} where ${rangeCondition(range)}`;
  const [found] = await select<{ rows: string }>(ch, query, {}, `counting the rows of a batch in ${shown}`);
  if (Number(found?.rows ?? 0) >= rows) return;
  const [first, last] = [range.ids[0]?.[0], range.ids.at(-1)?.[1]];
  throw new Failure('SinkSetBack', {
    message: `${shown} in ClickHouse holds ${found?.rows ?? 0} rows with ${range.column} from ${first} to ${last}, and ${rows} were inserted: it remembers a block that it has lost.`,
    remedy: `Run in ClickHouse: alter table ${sql.table} modify setting non_replicated_deduplication_window = 0; then set it to the value of before, and resume.`,
  });
}

async function expires(ch: ClickHouseClient, { target }: TargetTable): Promise<boolean> {
  const object = await findObject(ch, target.database, target.table);
  return / TTL /u.test(object?.engineFull ?? '');
}
