import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const ROWS = 20_000;
/** Every so many rows one is bad: some 80 probes a batch, so a kill falls into them. */
const EVERY = 250;
const BAD = ROWS / EVERY;
const AFTER_MS = [100, 300, 700, 1_500];
const SETTLE_MS = 180_000;

let harness: Harness;
let pg: Client;
beforeAll(async () => {
  harness = await openHarness({
    postgres: await freshDatabase('quarantine'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('quarantine'),
    temporal: addressOf('temporal'),
  });
  pg = await harness.connect();
  await pg.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${harness.environment['PG_USER']}'); end $$`,
  );
});
afterAll(() => harness?.close());

const one = async (query: string): Promise<string> => {
  const result = await harness.clickhouse.query({ query, format: 'TabSeparated' });
  return (await result.text()).trim();
};

it(
  'kill -9 while bad rows are looked for: a plain MergeTree gets each good row once, and each bad row is kept once',
  { timeout: 400_000 },
  async () => {
    await pg.query(/* sql */ `create table events (id bigserial primary key, day date not null)`);
    await harness.add({ schema: 'public', table: 'events', capture: 'poll', engine: 'merge-tree' });
    await pg.query(/* sql */ `insert into events (day)
      select case when n % ${EVERY} = 0 then date '9999-12-31' else '2024-01-01' end from generate_series(1, ${ROWS}) n`);
    let [kills, repeats] = [0, 0];
    const isPending = async (): Promise<boolean> =>
      (await pg.query(`select from pg2click.stage where stage = 'direct:main' and pending is not null`)).rowCount === 1;
    for (const after of AFTER_MS) {
      await waitFor(isPending, { deadlineMs: 60_000, what: 'a batch in hand', everyMs: 5 }).catch(() => undefined);
      await sleep(after);
      await harness.worker.kill();
      kills += 1;
      if (await isPending()) repeats += 1;
      await harness.worker.start();
    }
    await waitFor(async () => Number(await one('select count() from events')) >= ROWS - BAD, {
      deadlineMs: SETTLE_MS,
      what: 'all good rows',
      everyMs: 500,
    });
    await waitFor(async () => !(await isPending()), { deadlineMs: SETTLE_MS, what: 'the last batch', everyMs: 200 });
    expect(await one('select count(), uniqExact(id) from events')).toBe(`${ROWS - BAD}\t${ROWS - BAD}`);
    const kept = await pg.query<{
      rows: number;
      keys: number;
      open: number;
    }>(/* sql */ `select count(*)::int as rows, count(distinct key)::int as keys, (count(*) filter (where state = 'open'))::int as open
        from pg2click.quarantine`);
    expect(kept.rows[0]).toEqual({ rows: BAD, keys: BAD, open: BAD });
    console.log(`${kills} kills, ${repeats} of them with a batch in hand`);
    expect(repeats).toBeGreaterThan(0);
    expect(harness.deaths).toEqual([]);
  },
);
