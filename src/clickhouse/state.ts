import type { ClickHouseClient } from '@clickhouse/client';
import { VERSION_COLUMN } from '../domain/column-type.js';
import type { Version } from '../domain/version.js';
import { findObject, listColumns, select } from './catalog.js';
import { targetNames } from './names.js';
import type { Target } from './names.js';

export interface SinkState {
  /** Whether the table is there. */
  readonly exists: boolean;
  /** The highest version of the table and its floor; null when neither holds any. */
  readonly highest: Version | null;
}

/**
 * What the target holds, to compare with the ledger. Reads one column of the table.
 * @throws Failure those of ClickHouse
 */
export async function sinkState(ch: ClickHouseClient, target: Target): Promise<SinkState> {
  const names = targetNames(target);
  const table = await findObject(ch, target.database, names.table);
  const floor = await findObject(ch, target.database, names.floor);
  let highest: Version = 0n;
  // A user's table with other columns holds nothing of ours. That it does not fit is reported when it is made a target.
  if (table !== undefined && (await hasVersion(ch, target)))
    highest = await highestOf(ch, `max(_version)`, names.sql.table, names.shown);
  if (floor !== undefined) {
    const version = await highestOf(ch, `max(version)`, names.sql.floor, `${names.shown}_floor`);
    if (version > highest) highest = version;
  }
  // Versions begin above 2^120, so the 0 that max gives of nothing is none.
  return { exists: table !== undefined, highest: highest === 0n ? null : highest };
}

async function hasVersion(ch: ClickHouseClient, target: Target): Promise<boolean> {
  const columns = await listColumns(ch, target.database, target.table);
  return columns.some(({ name, type }) => name === VERSION_COLUMN && type === 'UInt128');
}

async function highestOf(ch: ClickHouseClient, max: string, from: string, shown: string): Promise<Version> {
  const query = /* sql */ `select toString(${max}) as highest from ${from}`;
  const rows = await select<{ highest: string }>(ch, query, {}, `reading the highest version of ${shown}`);
  return BigInt(rows[0]?.highest ?? '0');
}
