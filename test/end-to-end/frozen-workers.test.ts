import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import type { WorkerProcess } from '../../dev/demo/worker-process.js';
import { openHarness, type Harness } from '../support/harness.js';
import { measureLatency, LATENCY_TABLE, createLatencyTable } from '../support/latency-row.js';
import { proxied, type Proxies } from '../../dev/network/proxied.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

/** PostgreSQL misses a silent worker after 5 s, Temporal its heartbeats after 10 s; an open poll of it may swallow the second attempt. */
const TAKE_OVER_MS = 45_000;
const SETTLE_MS = 60_000;
const SLICE_MS = 15_000;
/** A lid that was closed: longer than any heartbeat. */
const LAPTOP_MS = 30_000;

/** The ways run beside each other: most of their time they wait for a heartbeat to be missed. The tests of a way share its workers. */
const IN_TURN = { concurrent: false } as const;

/** Two workers; the first reaches every server through a proxy, and can be frozen with something in hand. */
describe.each(['kafka', 'direct'] as const)(
  'by way of %s a worker that is frozen, or cut off',
  { timeout: 180_000, concurrent: true },
  (transport) => {
    let harness: Harness;
    let proxies: Proxies;
    let second: WorkerProcess | undefined;
    let tableId: string;

    beforeAll(async () => {
      const addresses = {
        postgres: await freshDatabase('frozen'),
        kafka: addressOf('kafka'),
        clickhouse: await freshSink('frozen'),
        temporal: addressOf('temporal'),
      };
      const through = await proxied(addresses);
      proxies = through.proxies;
      harness = await openHarness(addresses, through.addresses);
      await withSource(async (pg) => {
        await createLatencyTable(pg);
        for (let n = 1; n <= 8; n += 1)
          await pg.query(/* sql */ `create table busy_${n} (id int primary key, text text not null);
          insert into busy_${n} select i, 'copied' from generate_series(1, 100) i`);
      });
      [tableId = ''] = await harness.add({ ...LATENCY_TABLE, transport, sliceMs: SLICE_MS });
      await withSource(keepAccount);
    });
    afterAll(async () => {
      await harness?.close();
      for (const proxy of Object.values(proxies ?? {})) await proxy.close();
    });
    /** The first worker alone has the table. */
    beforeEach(async () => {
      for (const proxy of Object.values(proxies)) await proxy.pass();
      thaw(harness.worker);
      await harness.worker.start();
      await second?.kill();
      await waitFor(
        async () => {
          const { publisher, loader } = await harness.progress(tableId);
          return publisher === harness.worker.pid && loader === harness.worker.pid;
        },
        { deadlineMs: TAKE_OVER_MS, what: 'the first worker to have the table', everyMs: 200 },
      );
    });

    const withSource = async <T>(work: (pg: Client) => Promise<T>): Promise<T> => {
      const pg = await harness.connect();
      try {
        return await work(pg);
      } finally {
        await pg.end();
      }
    };
    const write = (text: string): Promise<unknown> =>
      withSource((pg) =>
        pg.query(/* sql */ `insert into latency (text) select $1 from generate_series(1, 500)`, [text]),
      );
    const change = (): Promise<unknown> =>
      withSource((pg) =>
        pg.query(
          /* sql */ `update latency set text = text || '+' where id % 3 = 0; delete from latency where id % 10 = 0`,
        ),
      );
    const startWorker = async (): Promise<void> => {
      second = second === undefined ? await harness.startWorker() : (await second.start(), second);
    };
    const settle = async (): Promise<void> => {
      const comparisons = await harness.settle(SETTLE_MS);
      expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
      expect(harness.deaths).toEqual([]);
      // Each batch was confirmed once, and none by a claim that had been overtaken.
      expect(await withSource(readAccount)).toEqual([]);
    };
    const freeze = (worker: WorkerProcess): void => void process.kill(worker.pid ?? 0, 'SIGSTOP');
    const thaw = (worker: WorkerProcess): void => void process.kill(worker.pid ?? 0, 'SIGCONT');

    it.each(transport === 'kafka' ? (['clickhouse', 'kafka'] as const) : (['clickhouse'] as const))(
      'frozen with something on its way to %s: the other takes over, and what arrives late changes nothing',
      IN_TURN,
      async (server) => {
        await startWorker();
        const stage = transport === 'direct' ? 'direct:main' : server === 'kafka' ? 'publish' : 'load:main';
        const holdsBatch = async (): Promise<boolean> => {
          // Its slices are past their beginnings, which would wait for a frozen server too.
          await proxies[server].pass();
          await measureLatency(harness, TAKE_OVER_MS);
          proxies[server].freeze();
          await write(`late for ${server}`);
          // Named, and not confirmed: it is in hand.
          const named = waitFor(() => withSource((pg) => isPending(pg, tableId, stage)), {
            deadlineMs: 3_000,
            what: 'a named batch',
          });
          return named.catch(() => false);
        };
        // A slice that ends in between begins anew before the frozen server: then once more.
        await waitFor(holdsBatch, { deadlineMs: TAKE_OVER_MS, what: 'a batch in hand' });
        freeze(harness.worker);
        const takeOverMs = await measureLatency(harness, TAKE_OVER_MS);
        console.log(`frozen before ${server}: another worker has taken over after ${takeOverMs} ms`);
        await change();
        await settle();
        await proxies[server].pass();
        thaw(harness.worker);
        await write('after');
        await change();
        await measureLatency(harness, TAKE_OVER_MS);
        await settle();
      },
    );

    it('cut off from Temporal alone: the other takes over, and its slices end by themselves', IN_TURN, async () => {
      await startWorker();
      proxies.temporal.freeze();
      await waitFor(async () => (await harness.progress(tableId)).publisher === second?.pid, {
        deadlineMs: TAKE_OVER_MS + SLICE_MS,
        what: 'the other worker to take over',
        everyMs: 200,
      });
      await write('by the other');
      await change();
      await waitFor(async () => (await withSource(countWatchers)) === 1, {
        deadlineMs: SLICE_MS + 15_000,
        what: 'the slices of the one that is cut off to end',
        everyMs: 200,
      });
      await measureLatency(harness, TAKE_OVER_MS);
      await settle();
      await proxies.temporal.pass();
      await settle();
    });

    it('killed beside another, over many tables: all of them stay equal', IN_TURN, async () => {
      await harness.add(
        ...Array.from({ length: 8 }, (_, n) => ({ schema: 'public', table: `busy_${n + 1}`, transport })),
      );
      await startWorker();
      await withSource(async (pg) => {
        for (let round = 1; round <= 40; round += 1) {
          for (let n = 1; n <= 8; n += 1)
            await pg.query(/* sql */ `insert into busy_${n} select i, 'new' from generate_series(${round * 200}, ${round * 200 + 99}) i;
            update busy_${n} set text = 'round ${round}' where id % 17 = ${round % 17}; delete from busy_${n} where id % 23 = ${round % 23}`);
          if (round === 15) await second?.kill();
          if (round === 20) await second?.start();
          if (round === 30) await harness.worker.kill();
        }
      });
      await settle();
      await harness.worker.start();
      await settle();
    });

    it(`frozen for ${LAPTOP_MS / 1_000} seconds as the only one: goes on by itself`, IN_TURN, async () => {
      await write('before');
      freeze(harness.worker);
      await write('meanwhile');
      await change();
      await sleep(LAPTOP_MS);
      thaw(harness.worker);
      const flowsMs = await measureLatency(harness, TAKE_OVER_MS);
      console.log(`the only worker, frozen for ${LAPTOP_MS} ms: rows flow ${flowsMs} ms after it goes on`);
      await settle();
    });
  },
);

/** Writes down every batch that is confirmed, and under which claim. */
async function keepAccount(pg: Client): Promise<void> {
  await pg.query(/* sql */ `
    create table public.account (n bigint generated always as identity, table_id bigint, stage text, batch bigint, epoch bigint);
    create function public.account() returns trigger language plpgsql security definer as $$
    begin
      insert into public.account (table_id, stage, batch, epoch) values (new.table_id, new.stage, new.batch, new.epoch);
      return null;
    end $$;
    create trigger account after update on pg2click.stage for each row when (old.batch <> new.batch)
      execute function public.account()`);
}

/** @returns batches that were confirmed out of turn, or under a claim older than that of the batch before */
async function readAccount(pg: Client): Promise<readonly unknown[]> {
  const found = await pg.query(/* sql */ `
    select * from (
      select *, lag(batch) over turn as batch_before, lag(epoch) over turn as epoch_before
      from account window turn as (partition by table_id, stage order by n)) confirmed
    where batch <> batch_before + 1 or epoch < epoch_before`);
  return found.rows;
}

async function isPending(pg: Client, id: string, stage: string): Promise<boolean> {
  const found = await pg.query(
    /* sql */ `select from pg2click.stage where table_id = $1 and stage = $2 and pending is not null`,
    [id, stage],
  );
  return found.rowCount === 1;
}

/** Workers with a publishing slice that waits for changes: it looks many times a second. */
async function countWatchers(pg: Client): Promise<number> {
  const found = await pg.query<{ n: number }>(/* sql */ `
    select count(*)::int as n from pg_stat_activity
    where datname = current_database() and application_name = 'pg2click watch'
      and clock_timestamp() - query_start < interval '2 s'`);
  return found.rows[0]?.n ?? 0;
}
