import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { seededRandom } from '../../dev/demo/random.js';
import { queryTable } from '../../src/control/describe-table.js';
import type { TableView } from '../../src/control/table-view.js';
import { runCli } from '../support/cli.js';
import { openHarness, type Harness } from '../support/harness.js';
import { readStatus } from '../support/read-status.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const ROWS = 3_000;
/** After it has answered for the table: on a busy machine a worker takes long to start. */
const LIVES_MS = 4_000;
const WRITE_MS = 40_000;
const SETTLE_MS = 120_000;

const ORDERS = { schema: 'public', table: 'orders' };
let harness: Harness;
let databases: { readonly here: string; readonly there: string };

beforeAll(async () => {
  const clickhouse = await freshSink('several');
  const there = await freshSink('elsewhere');
  const url = new URL(there.url);
  url.username = there.user;
  url.pathname = there.database;
  databases = { here: clickhouse.database, there: there.database };
  harness = await openHarness(
    {
      postgres: await freshDatabase('several'),
      kafka: addressOf('kafka'),
      clickhouse,
      temporal: addressOf('temporal'),
    },
    {},
    { CH_URL_THERE: url.href, CH_PASSWORD_THERE: there.password },
  );
});
afterAll(() => harness.close());

async function cli(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr, code } = await runCli([...args, '--json'], { env: harness.environment });
  // 6: accepted, and no worker answered; it was killed just then.
  expect([0, 6], `${args.join(' ')}: ${code} ${stdout} ${stderr}`).toContain(code);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const status = (): Promise<TableView | undefined> => readStatus(harness.environment, 'orders');

async function until(what: string, holds: (seen: TableView) => boolean): Promise<TableView> {
  return waitFor(
    async (see) => {
      const seen = await status();
      see(seen);
      return seen !== undefined && holds(seen) ? seen : undefined;
    },
    { deadlineMs: SETTLE_MS, what, everyMs: 500 },
  );
}

async function compare(database: string, table: string) {
  const postgres = await harness.connect();
  const view = { database, table: `${table}_current` };
  return compareTable({ postgres, clickhouse: harness.clickhouse, table: ORDERS, view });
}

async function expectEqual(database: string, table: string): Promise<number> {
  const found = await waitFor(
    async (see) => {
      const comparison = await compare(database, table);
      see(comparison.differences);
      return isEqual(comparison) ? comparison : undefined;
    },
    { deadlineMs: SETTLE_MS, what: `${database}.${table} to be equal`, everyMs: 500 },
  );
  return found.equal;
}

it(
  'two loaders, one of them paused for a while, a replay from a time, one that is cancelled and one into a fresh table end equal under kill -9',
  async () => {
    const pg = await harness.connect();
    await pg.query(/* sql */ `create table orders (id int primary key, note text, n int not null default 0);
      insert into orders select i, 'row ' || i from generate_series(1, ${ROWS}) i`);
    await harness.add(ORDERS);
    const random = seededRandom(7);
    let writing = true;
    let changes = 0;
    const write = async (): Promise<void> => {
      const session = await harness.connect();
      for (let next = ROWS; writing; next += 1) {
        const id = 1 + random.below(ROWS);
        await session.query(/* sql */ `begin;
          update orders set n = n + 1 where id between ${id} and ${id + 5};
          insert into orders values (${next + 1_000_000}, 'new') on conflict do nothing;
          delete from orders where id = ${1_000_000 + ROWS + random.below(Math.max(1, next - ROWS))};
          ${random.below(40) === 0 ? 'rollback' : 'commit'}`);
        changes += 8;
        if (random.below(400) === 0)
          await session.query(
            /* sql */ `truncate orders; insert into orders select i, 'again' from generate_series(1, ${ROWS}) i`,
          );
        await sleep(15);
      }
    };
    let kills = 0;
    const kill = async (): Promise<void> => {
      while (writing) {
        await waitFor(
          async () => !writing || (await queryTable(harness.temporal.client, harness.workflowId(ORDERS))) !== undefined,
          { deadlineMs: SETTLE_MS, what: 'a worker to answer' },
        );
        await sleep(LIVES_MS / 2 + random.below(LIVES_MS));
        await harness.worker.kill();
        kills += 1;
        await harness.worker.start();
      }
    };
    const writer = write();
    void writer.catch(() => undefined);
    const startedAt = Date.now();
    await cli('loader', 'add', 'orders', 'there', '--server', 'there');
    await cli('loader', 'add', 'orders', 'second', '--target', 'orders_second');
    await until('both copies', ({ loaders }) => loaders.length === 3 && loaders.every(({ copied }) => copied));
    await cli('loader', 'pause', 'orders', 'second', '--reason', 'a test');
    const from = new Date(Date.now() - 5_000).toISOString();
    await cli('replay', 'orders', '--from', from, '--no-wait');
    await cli('replay', 'orders', '--from', 'beginning', '--no-wait');
    const killer = kill();
    void killer.catch(() => undefined);
    // One of the two may be done by now.
    const running = (await status())?.replays.find((replay) => replay.status === 'running');
    if (running !== undefined)
      await runCli(['replay', 'orders', '--cancel', '--replay', running.id], { env: harness.environment });
    await sleep(Math.max(0, startedAt + WRITE_MS - Date.now()));
    // Its copy waits for this writer: until then it only reads on, beside the others.
    const open = await harness.connect();
    await open.query(/* sql */ `begin; update orders set note = 'held' where id = 1`);
    await cli('replay', 'orders', '--from', 'beginning', '--into', 'orders_fresh', '--no-wait');
    // In the ledger: a workflow answers only while a worker lives.
    await waitFor(
      async (see) => {
        see(await queryTable(harness.temporal.client, harness.workflowId(ORDERS)));
        return (await pg.query(/* sql */ `select from pg2click.stage where stage ~ '^copy:replay'`)).rowCount === 1;
      },
      { deadlineMs: SETTLE_MS, what: 'the replay into a fresh table', everyMs: 250 },
    );
    await sleep(3_000);
    writing = false;
    await open.query(/* sql */ `commit`);
    await Promise.all([writer, killer]);
    const paused = await until('the paused loader to be behind', ({ loaders }) =>
      loaders.some(({ name, waiting, paused: pause }) => name === 'second' && (waiting ?? 0) > 0 && pause !== null),
    );
    expect(paused.loaders.find(({ name }) => name === 'second')?.paused).toMatchObject({ reason: 'a test' });
    const equal = {
      main: await expectEqual(databases.here, 'orders'),
      there: await expectEqual(databases.there, 'orders'),
    };
    expect(await compare(databases.here, 'orders_second')).not.toSatisfy(isEqual);
    await cli('loader', 'resume', 'orders', 'second');
    const second = await expectEqual(databases.here, 'orders_second');
    const done = await until(
      'the replays to end',
      ({ replays }) => replays.length >= 3 && replays.every((each) => each.status !== 'running'),
    );
    for (const { id, status: how, rows } of done.replays) expect(how === 'cancelled' || rows > 0, id).toBe(true);
    const fresh = await expectEqual(databases.here, 'orders_fresh');
    await cli('loader', 'remove', 'orders', 'second', '--drop-target');
    const left = await status();
    expect(left?.loaders.map(({ name }) => name)).toEqual(['main', 'there']);
    expect(left?.phase).toBe('streaming');
    expect(harness.deaths).toEqual([]);
    console.log(
      JSON.stringify({
        severalLoaders: {
          changes,
          kills,
          equal,
          second,
          fresh,
          replays: done.replays.map(({ id, status: how, rows }) => ({ id, how, rows })),
        },
      }),
    );
  },
  WRITE_MS + 4 * SETTLE_MS,
);
