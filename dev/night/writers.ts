import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { createAudited } from '../compare/log-audit.js';
import { seededRandom, type Random } from '../demo/random.js';
import type { Ground } from './ground.js';
import type { NightTable } from './table.js';
import { createSql, transact, worksOf } from './works.js';

/** PostgreSQL is away, or the table is locked for longer than a writer waits. */
const AGAIN_MS = 500;
/** A writer of a table that somebody locked does not wait for ever. */
const LOCK_TIMEOUT = '30s';

/** Writes to every table, whatever happens to the servers. */
export interface Writers {
  /** Transactions that committed. */
  committed(table: NightTable): number;
  stop(): Promise<void>;
}

export async function createTables(pg: pg.Client, tables: readonly NightTable[]): Promise<void> {
  for (const { name, isLog, isForeign } of tables) {
    if (isLog) await createAudited(pg, name);
    else await pg.query(createSql(name));
    // Without the old row nobody knows what a key was.
    if (isForeign) await pg.query(`alter table ${name} replica identity full`);
  }
}

/** @param rate transactions a second of each table, on average */
export function startWriters(
  ground: Ground,
  tables: readonly NightTable[],
  { seed, rate }: { readonly seed: number; readonly rate: number },
): Writers {
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const committed = new Map<NightTable, number>();
  const write = async (table: NightTable, random: Random): Promise<void> => {
    let client: pg.Client | undefined;
    while (!stopping.signal.aborted) {
      await sleep(random.below(2_000 / rate), undefined, { signal: stopping.signal }).catch(() => undefined);
      try {
        client ??= await openWriter(ground);
        const done = table.isLog
          ? await changeLogged(client, table.name, random)
          : await transact(client, table.name, random.pick(worksOf(table)), random);
        if (done) committed.set(table, (committed.get(table) ?? 0) + 1);
      } catch {
        // What it was at is rolled back, or committed without an answer: the comparison asks the table.
        await client?.end().catch(() => undefined);
        client = undefined;
        await sleep(AGAIN_MS);
      }
    }
    await client?.end().catch(() => undefined);
  };
  const running = Promise.all(tables.map((table, index) => write(table, seededRandom(seed * 1_000 + index))));
  return {
    committed: (table) => committed.get(table) ?? 0,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function openWriter(ground: Ground): Promise<pg.Client> {
  const client = await ground.connect();
  await client.query(`set lock_timeout = '${LOCK_TIMEOUT}'`);
  return client;
}

/** A transaction of a few changes to the table whose log is kept. */
async function changeLogged(pg: pg.Client, table: string, random: Random): Promise<boolean> {
  const many = 1 + random.below(20);
  await pg.query('begin');
  await pg.query(
    `insert into ${table} select last + i, 0, 'text ' || i
      from (select coalesce(max(id), 0) as last from ${table}) t, generate_series(1, ${many}) i`,
  );
  await pg.query(`update ${table} set n = n + 1 where id % 97 = ${random.below(97)}`);
  await pg.query('savepoint s');
  await pg.query(`delete from ${table} where id % 7 = ${random.below(7)}`);
  await pg.query(random.below(3) === 0 ? 'release savepoint s' : 'rollback to savepoint s');
  await pg.query(`update ${table} set id = -id where id = (select max(id) from ${table})`);
  await pg.query(`delete from ${table} where id % 11 = ${random.below(11)} and id > 0`);
  await pg.query('commit');
  return true;
}
