import type { ClickHouseClient } from '@clickhouse/client';
import { select } from './catalog.js';

/** Seconds since the server was started. A duration: clocks of two servers need not agree. */
export async function readUptime(ch: ClickHouseClient): Promise<number> {
  const [row] = await select<{ uptime: number }>(
    ch,
    /* sql */ `select toUInt32(uptime()) as uptime`,
    {},
    'asking how long it runs',
  );
  return row?.uptime ?? 0;
}
