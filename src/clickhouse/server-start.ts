import type { ClickHouseClient } from '@clickhouse/client';
import { select } from './catalog.js';
import type { Target } from './names.js';

/** Which server answers, and since when it runs. */
export interface ServerStart {
  /** `serverUUID()`: several may answer under one address. */
  readonly id: string;
  /** By its own clock, seconds since 1970. */
  readonly startedAt: number;
  readonly uptimeSeconds: number;
}

/** The two clocks of one server are read in whole seconds, and may be set by a little. */
const TOLERANCE_SECONDS = 5;

/** @throws Failure those of ClickHouse */
export async function readServerStart(ch: ClickHouseClient): Promise<ServerStart> {
  const [row] = await select<ServerStart>(
    ch,
    /* sql */ `select toString(serverUUID()) as id, toUInt32(toUnixTimestamp(now()) - uptime()) as startedAt,
        toUInt32(uptime()) as uptimeSeconds`,
    {},
    'asking when it was started',
  );
  if (row === undefined) throw new Error('a select of one row returned none');
  return row;
}

/** @param known what was noted of servers, by their ids. @returns undefined for a server that is not known */
export function wasRestarted(
  { id, startedAt }: ServerStart,
  known: Readonly<Record<string, number>> = {},
): boolean | undefined {
  const before = known[id];
  return before === undefined ? undefined : Math.abs(startedAt - before) > TOLERANCE_SECONDS;
}

/** Whether a materialized view reads what is inserted into the target: it would get a repeated row once more. */
export async function feedsViews(ch: ClickHouseClient, { database, table }: Target): Promise<boolean> {
  const [row] = await select<{ feeds: number }>(
    ch,
    /* sql */ `select notEmpty(dependencies_table) as feeds from system.tables
      where database = {database: String} and name = {table: String}`,
    { database, table },
    `looking for the views of ${database}.${table}`,
  );
  return row?.feeds === 1;
}
