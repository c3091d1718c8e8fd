import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom } from '../../dev/demo/random.js';
import { openHarness, type Harness } from '../support/harness.js';
import { writeOutOfOrder } from '../support/out-of-order.js';
import { addressOf, freshDatabase, freshSink, leastRoleOf, type PostgresAddress } from '../support/stack.js';

const figure = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

const WRITE_MS = figure('PG2CLICK_POLL_KILL_MS', 30_000);
const KILL_EVERY_MS = figure('PG2CLICK_KILL_EVERY_MS', 3_000);
const SEED = figure('PG2CLICK_KILL_SEED', 1);
const SETTLE_MS = 120_000;

let harness: Harness;
let database: PostgresAddress;

beforeAll(async () => {
  database = await freshDatabase('pollkill');
  harness = await openHarness({
    postgres: database,
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('pollkill'),
    temporal: addressOf('temporal'),
  });
});
afterAll(() => harness.close());

const TABLES = [
  { table: 'polled', capture: 'poll' },
  { table: 'polled_by_topic', capture: 'poll', transport: 'kafka', format: 'json' },
  { table: 'notified', capture: 'notify' },
] as const;

it(
  `loses no row of 8 writers a table whose transactions commit out of order, with kill -9 of the worker every ${KILL_EVERY_MS} ms`,
  async () => {
    const pg = await harness.connect();
    for (const { table } of TABLES)
      await pg.query(`
        create table ${table} (id bigserial primary key, writer int, name text);
        grant select on sequence ${table}_id_seq to ${leastRoleOf(database.database)}`);
    await harness.add(...TABLES.map((each) => ({ schema: 'public', ...each })));
    await harness.watchInserts();
    const random = seededRandom(SEED);
    let isOver = false;
    let kills = 0;
    const writing = Promise.all(
      TABLES.map(({ table }, index) =>
        writeOutOfOrder(table, {
          connect: async () => {
            const client = await harness.connect();
            // The servers of the tests allow prepared transactions, and these sessions have none; the one that has switches it off.
            await client.query('set pg2click.notify = on');
            return client;
          },
          writers: 8,
          milliseconds: WRITE_MS,
          seed: SEED + index,
        }),
      ),
    ).finally(() => (isOver = true));
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, KILL_EVERY_MS / 2 + random.below(KILL_EVERY_MS)));
      await harness.worker.kill();
      kills += 1;
      await harness.worker.start();
    }
    const written = await writing;
    const comparisons = await harness.settle(SETTLE_MS);
    const inserts = await harness.countInserts();
    console.log(
      JSON.stringify({
        pollKillLoop: {
          kills,
          written,
          rowsInserted: inserts.rows,
          rowsInsertedMoreThanOnce: inserts.repeated,
          rowsEqual: comparisons.map(({ table, equal, source }) => `${table} ${equal}/${source}`),
        },
      }),
    );
    expect(comparisons.flatMap(({ table, differences }) => differences.map((each) => ({ table, ...each })))).toEqual(
      [],
    );
    expect(comparisons.every(isEqual)).toBe(true);
    expect(harness.deaths).toEqual([]);
    expect(kills).toBeGreaterThan(1);
  },
  120_000 + SETTLE_MS + WRITE_MS,
);
