import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Target } from '../../domain/route.js';
import { CLICKHOUSE_CODES } from '../../failure/clickhouse-codes.js';
import { select } from '../catalog.js';
import { engineNames } from './names.js';

/** The block in hand is inserted within this time, or the wait for it is given up. */
const QUIET_MS = 10_000;
const BETWEEN_MS = 50;

/** Waits until the engine inserts nothing any more: the block that it had in hand when its view was dropped. @returns whether it came to that */
export async function waitUntilQuiet(ch: ClickHouseClient, target: Target): Promise<boolean> {
  const { database, bare, shown } = engineNames(target);
  for (const deadline = Date.now() + QUIET_MS; ;) {
    const [row] = await select<{ used: string | number }>(
      ch,
      /* sql */ `select count() as used from system.kafka_consumers
        where database = {database:String} and table = {table:String} and is_currently_used = 1`,
      { database, table: bare.kafka },
      `looking at the consumers of ${shown.kafka}`,
    );
    if (Number(row?.used ?? 0) === 0) return true;
    if (Date.now() > deadline) return false;
    await sleep(BETWEEN_MS);
  }
}

/**
 * The last thing that went wrong for the engine, without any value of a row: ClickHouse's own texts repeat what they could not read.
 * @returns undefined where it met nothing
 */
export async function lastException(ch: ClickHouseClient, target: Target): Promise<string | undefined> {
  const { database, bare, shown } = engineNames(target);
  const rows = await select<{ text: string }>(
    ch,
    /* sql */ `select text from system.kafka_consumers array join exceptions.time as time, exceptions.text as text
      where database = {database:String} and table = {table:String} order by time desc limit 1`,
    { database, table: bare.kafka },
    `looking at the consumers of ${shown.kafka}`,
  );
  return rows[0] === undefined ? undefined : shortened(rows[0].text);
}

/** `Broker: ...` and `Local: ...` are texts of the Kafka client, which knows no rows. */
export function shortened(text: string): string {
  const [line = ''] = text.split('\n');
  const client = /(?:Broker|Local): [A-Za-z0-9 ,()/'-]{1,100}/u.exec(line)?.[0];
  if (client !== undefined) return client.trim();
  const code = /\bCode: (\d{1,5})\b/u.exec(text)?.[1] ?? /\(([A-Z_]{5,60})\)/u.exec(text)?.[1];
  if (code === undefined) return 'an error of ClickHouse';
  return `${code} ${CLICKHOUSE_CODES[Number(code)]?.[0] ?? ''}`.trim();
}

/** Messages that could not be loaded, by place: a message that was read twice counts once after a merge. */
export async function countErrors(ch: ClickHouseClient, target: Target): Promise<number> {
  const names = engineNames(target);
  const query = /* sql */ `select count() as errors from ${names.sql.errors} final`;
  const [row] = await select<{ errors: string | number }>(ch, query, {}, `counting the rows of ${names.shown.errors}`);
  return Number(row?.errors ?? 0);
}
