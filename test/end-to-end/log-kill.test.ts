import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom } from '../../dev/demo/random.js';
import { runCli } from '../support/cli.js';
import { openHarness, type Harness } from '../support/harness.js';
import { letReadWal } from '../support/least-role.js';
import { auditOf, createAudited, disorderSql, logAuditSql } from '../../dev/compare/log-audit.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const WRITING_MS = 20_000;
const KILL_EVERY_MS = 2_500;
/** A dead worker is missed after 10 s, and a new one needs seconds to begin. */
const AIM_MS = 20_000;
const SETTLE_MS = 120_000;
const WRITERS = 3;
const PAUSE_MS = 40;
const TABLE = { schema: 'public', table: 'changed' };
/** Of the same transactions and the same slot, with rows as they are. */
const MIRROR = { schema: 'public', table: 'mirrored' };

let harness: Harness;
let pg: Client;

beforeAll(async () => {
  const postgres = await freshDatabase('log');
  harness = await openHarness({
    postgres,
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('log'),
    temporal: addressOf('temporal'),
  });
  await letReadWal(postgres);
  pg = await harness.connect();
  await createAudited(pg, TABLE.table);
  await pg.query(`create table ${MIRROR.table} (id bigint primary key, n bigint not null)`);
});
afterAll(() => harness?.close());

const sink = async (query: string): Promise<string> => {
  const result = await harness.clickhouse.query({ query, format: 'TabSeparated' });
  return (await result.text()).trim();
};

it(`a log has every change once, in the order in which it was made, beside a table with rows as they are, with kill -9 of the worker`, async () => {
  await harness.add({ ...MIRROR, capture: 'wal', transport: 'direct' });
  const cli = (...args: string[]) => runCli(args, { env: harness.environment });
  expect(await cli('add', TABLE.table, '--capture', 'wal', '--engine', 'log')).toMatchObject({ code: 0 });
  expect((await cli('backfill', TABLE.table)).stderr).toContain('is a log of changes');
  const added = await pg.query<{ id: string }>('select table_id::text as id from pg2click.wal_table where log');
  const id = added.rows[0]?.id;
  const until = Date.now() + WRITING_MS;
  let isWriting = true;
  const writing = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer, until))).finally(
    () => (isWriting = false),
  );
  const isPending = async (): Promise<boolean> =>
    (
      await pg.query(
        `select from pg2click.stage where table_id = ${id} and stage = 'direct:main' and pending is not null`,
      )
    ).rowCount === 1;
  let [kills, repeats] = [0, 0];
  while (isWriting) {
    await Promise.race([writing, sleep(KILL_EVERY_MS)]);
    // Most kills hit a worker that has not begun yet: each second one waits for a batch.
    const deadline = Date.now() + (kills % 2 === 0 ? 0 : AIM_MS);
    while (isWriting && Date.now() < deadline && !(await isPending())) await sleep(5);
    await harness.worker.kill();
    kills += 1;
    if (await isPending()) repeats += 1;
    await harness.worker.start();
  }
  await writing;
  const audit = await auditOf(pg, TABLE.table);
  const changes = await pg.query<{ n: number }>(`select count(*)::int as n from ${TABLE.table}_audit`);
  const expected = changes.rows[0]?.n ?? 0;
  await waitFor(async () => Number(await sink(`select count() from ${TABLE.table}`)) >= expected, {
    deadlineMs: SETTLE_MS,
    what: `${expected} changes`,
    everyMs: 500,
  });
  expect((await sink(logAuditSql(TABLE.table))).split('\n')).toEqual(audit);
  expect(await sink(disorderSql(TABLE.table))).toBe('0');
  console.log(JSON.stringify({ logKillLoop: { changes: expected, transactions: audit.length, kills, repeats } }));
  for (const comparison of await harness.settle(SETTLE_MS)) expect(comparison).toSatisfy(isEqual);
  expect(repeats).toBeGreaterThan(0);
  expect(harness.deaths).toEqual([]);
}, 400_000);

/** Transactions of 1 to 3,000 changes. */
async function write(writer: number, until: number): Promise<void> {
  const client = await harness.connect();
  const random = seededRandom(writer + 1);
  const [from, to] = [writer * 1_000_000, (writer + 1) * 1_000_000 - 1];
  for (let round = 0; Date.now() < until; round++) {
    const first = from + round * 3_000;
    const many = round % 7 === 0 ? 3_000 : 1 + random.below(20);
    await client.query(`begin;
      insert into changed select i, 0, 'text ' || i from generate_series(${first}, ${first + many - 1}) i;
      update changed set n = n + 1 where id between ${from} and ${to} and id % 97 = ${round % 97};
      savepoint s; delete from changed where id = ${first}; rollback to s;
      update changed set id = -id where id = ${first + 1};
      delete from changed where id between ${first} and ${first + many} and id % 5 = 0;
      insert into mirrored values (${first}, 0);
      update mirrored set n = n + 1 where id between ${from} and ${to} and id % 11 = ${round % 11}; commit`);
    await sleep(PAUSE_MS);
  }
}
