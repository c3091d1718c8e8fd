import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { queryTable } from '../../src/control/describe-table.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const WRITERS = 8;
const BETWEEN_MS = 1_500;
const SETTLE_MS = 90_000;
const TABLES = ['orders', 'direct_orders'] as const;

/** None of them touches what the writers name: id and n. */
const ALTERS: readonly string[] = [
  `add c int default 5`,
  `rename v to w`,
  `add v numeric(6,2) not null default 1.5`,
  `alter v type numeric(12,2)`,
  `drop w`,
  `add w float8 default random()`,
  `alter n type bigint`,
  `rename c to "The c"`,
  `add s text generated always as (upper(n::text)) stored`,
];

let harness: Harness;
beforeAll(async () => {
  harness = await openHarness({
    postgres: await freshDatabase('live_schema'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('live_schema'),
    temporal: addressOf('temporal'),
  });
});
afterAll(() => harness.close());

/** Writes until it is told to stop. @returns statements, and the longest of them in ms */
async function write(seed: number, stop: AbortSignal): Promise<{ statements: number; longestMs: number }> {
  const pg = await harness.connect();
  let statements = 0;
  let longestMs = 0;
  for (let i = 0; !stop.aborted; i++) {
    const id = 1_000 + seed + i * WRITERS;
    const table = TABLES[i % TABLES.length] ?? '';
    const startedAt = performance.now();
    await pg.query(`insert into ${table} (id, n) values (${id}, ${i})`);
    await pg.query(`update ${table} set n = n + 1 where id in (${(id * 7) % 500}, ${id})`);
    if (i % 3 === 0) await pg.query(`delete from ${table} where id = ${id - 10 * WRITERS}`);
    longestMs = Math.max(longestMs, performance.now() - startedAt);
    statements += 2;
    await sleep(2);
  }
  return { statements, longestMs };
}

it('columns change under eight writers: no write fails, and both sides are equal', { timeout: 240_000 }, async () => {
  const pg = await harness.connect();
  for (const table of TABLES)
    await pg.query(`create table ${table} (id int primary key, n int, v text);
      insert into ${table} select g, g, 'v' || g from generate_series(1, 500) g`);
  const [orders, direct] = TABLES.map((table) => ({ schema: 'public', table }));
  const ids = await harness.add(
    { ...orders, sliceMs: 5_000 } as never,
    { ...direct, transport: 'direct', sliceMs: 5_000 } as never,
  );
  const stop = new AbortController();
  const writers = Array.from({ length: WRITERS }, (_, seed) => write(seed, stop.signal));
  const shapeOf = async (id: string | undefined): Promise<number> => {
    const found = await pg.query<{ shape: number }>(`select shape from pg2click.replicated_table where id = $1`, [id]);
    return found.rows[0]?.shape ?? 0;
  };
  let noticedMs = 0;
  for (const [index, alter] of ALTERS.entries()) {
    for (const [at, table] of TABLES.entries()) {
      await pg.query(`alter table ${table} ${alter}`);
      const startedAt = performance.now();
      await waitFor(async () => (await shapeOf(ids[at])) === index + 2, {
        deadlineMs: 30_000,
        what: `the shape of ${table} after ${alter}`,
        everyMs: 20,
      });
      noticedMs = Math.max(noticedMs, performance.now() - startedAt);
    }
    await sleep(BETWEEN_MS);
  }
  stop.abort();
  const written = await Promise.all(writers);
  const longestMs = Math.max(...written.map((each) => each.longestMs));
  const statements = written.reduce((sum, each) => sum + each.statements, 0);
  console.log(
    `${statements} statements, the longest pause ${Math.round(longestMs)} ms; noticed within ${Math.round(noticedMs)} ms`,
  );
  // A view that has not been replaced yet has other columns.
  const comparisons = await waitFor(() => harness.settle(SETTLE_MS).catch(() => undefined), {
    deadlineMs: SETTLE_MS,
    what: 'the views to have the columns',
    everyMs: 500,
  });
  for (const comparison of comparisons) expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
  for (const name of [orders, direct]) {
    // The workflow learns it with the receipts of the slices.
    const status = await waitFor(
      async (see) => {
        const seen = await queryTable(harness.temporal.client, harness.workflowId(name as never));
        see([seen?.shape, seen?.phase, seen?.copying]);
        return seen?.shape?.shape === ALTERS.length + 1 && seen.phase !== 'copying' && seen;
      },
      { deadlineMs: SETTLE_MS, what: 'the workflow to know the newest shape, and the copies to end' },
    );
    expect(status).toMatchObject({ phase: 'streaming', failure: null });
  }
  expect(harness.deaths).toEqual([]);
});
