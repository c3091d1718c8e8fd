import type { ClickHouseClient } from '@clickhouse/client';
import { select } from './catalog.js';

export const NO_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * Which server this is: its UUID; for an engine inside another process, which has none, the path of its data. Replicas behind
 * one address have one each: so it tells servers apart only where a table is missing.
 */
export async function readSinkIdentity(ch: ClickHouseClient): Promise<string> {
  const what = 'reading the identity of the server';
  const [server] = await select<{ id: string }>(ch, /* sql */ `select toString(serverUUID()) as id`, {}, what);
  if (server !== undefined && server.id !== NO_UUID) return server.id;
  const query = /* sql */ `select path as id from system.disks where name = 'default'`;
  const [disk] = await select<{ id: string }>(ch, query, {}, what);
  return disk?.id ?? NO_UUID;
}
