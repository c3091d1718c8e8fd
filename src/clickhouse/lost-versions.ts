import type { ClickHouseClient } from '@clickhouse/client';
import { physicalKey, type TargetTable } from '../domain/replicated-table.js';
import type { Version } from '../domain/version.js';
import { quoteCh } from '../domain/identifier.js';
import { select } from './catalog.js';
import { targetNames } from './names.js';

/**
 * Keys whose newest version in one table, of those in a range, is missing in another that has the same columns, and so is every newer
 * one. What both are written to meanwhile does not count, if it is above the range and goes into `other` first.
 * @param range above the first, up to the second
 */
export async function countLostVersions(
  ch: ClickHouseClient,
  table: TargetTable,
  other: TargetTable,
  [above, upTo]: readonly [Version, Version],
): Promise<number> {
  const key = physicalKey(table).map(quoteCh).join(', ');
  const [one, two] = [table, other].map(({ target }) => targetNames(target)) as [
    ReturnType<typeof targetNames>,
    ReturnType<typeof targetNames>,
  ];
  const query = /* sql */ `select count() as lost
    from (select ${key}, max(_version) as pg2click_here from ${one.sql.table}
      where _version > toUInt128({above:String}) and _version <= toUInt128({upTo:String}) group by ${key}) here
    left join (select ${key}, max(_version) as pg2click_there from ${two.sql.table}
      where _version > toUInt128({above:String}) group by ${key}) there using (${key})
    where pg2click_there < pg2click_here settings join_use_nulls = 0`;
  const params = { above: String(above), upTo: String(upTo) };
  const [row] = await select<{ lost: string }>(ch, query, params, `comparing ${one.shown} and ${two.shown}`);
  return Number(row?.lost ?? 0);
}
