import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import type { TableStatus } from '../../workflows/messages.js';
import { openHarness, type Harness } from '../support/harness.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

/** 13 MB: 13 chunks. */
const ROWS = 40_000;
/** When the worker is killed after the signal: while chunks are copied, and around the swap. Undefined: it is not. */
const KILLS = [undefined, 700, 1_300, 2_000, 2_700, 3_400] as const;
const TABLES = ['over_kafka', 'direct'] as const;
const DEADLINE_MS = 120_000;

let harness: Harness;
let pg: Client;
beforeAll(async () => {
  harness = await openHarness(
    {
      postgres: await freshDatabase('resync'),
      kafka: addressOf('kafka'),
      clickhouse: await freshSink('resync'),
      temporal: addressOf('temporal'),
    },
    {},
    { PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '1' },
  );
  pg = await harness.connect();
});
afterAll(() => harness?.close());

const one = async (query: string): Promise<string> => {
  const result = await harness.clickhouse.query({ query, format: 'TabSeparated' });
  return (await result.text()).trim();
};
const stateOf = (table: string): Promise<string> =>
  one(`select count(), sum(id), countIf(v not like 'x%') from ${table}_current`);
const status = (table: string): Promise<TableStatus> =>
  harness.temporal.client.workflow.getHandle(harness.workflowId({ schema: 'public', table })).query('status');

/** Rows deleted, changed, twice, and one with a version above those of before. Nobody writes these keys meanwhile, but those that are there twice. */
async function damage(table: string): Promise<void> {
  for (const query of [
    `alter table ${table} delete where id % 100 = 7 settings mutations_sync = 1`,
    `alter table ${table} update v = 'wrong' where id % 100 = 8 settings mutations_sync = 1`,
    `insert into ${table} select * from ${table} where id % 100 = 9`,
    `insert into ${table} (id, v, _version) select 8, 'by hand', max(_version) + 1 from ${table}`,
  ])
    await harness.clickhouse.command({ query });
}

it(
  'a resync under live writes and kill -9: a reader sees the damaged state or the right one, and both sides are equal',
  { timeout: 900_000 },
  async () => {
    for (const table of TABLES)
      await pg.query(/* sql */ `create table ${table} (id bigint primary key, v text not null);
        insert into ${table} select i, repeat('x', 300) from generate_series(1, ${ROWS}) i`);
    await harness.add(
      { schema: 'public', table: 'over_kafka', sliceMs: 2_000 },
      { schema: 'public', table: 'direct', transport: 'direct', sliceMs: 2_000 },
    );
    const right = `${ROWS}\t${(ROWS * (ROWS + 1)) / 2}\t0`;
    let isOver = false;
    let writes = 0;
    const writer = await harness.connect();
    const writing = (async () => {
      while (!isOver) {
        for (const table of TABLES)
          await writer.query(
            `update ${table} set v = 'x' || $1 || repeat('y', 100) where id % 100 not in (7, 8) and id % 997 = $2`,
            [writes, writes % 997],
          );
        writes += 1;
        await sleep(5);
      }
    })();
    const tookMs: number[] = [];
    let polls = 0;
    for (const [round, kill] of KILLS.entries()) {
      const damaged: Record<string, string> = {};
      for (const table of TABLES) {
        await damage(table);
        damaged[table] = await stateOf(table);
        expect(damaged[table]).not.toBe(right);
      }
      const seen: Record<string, Set<string>> = {};
      let isRoundOver = false;
      const reading = TABLES.map(async (table) => {
        const states = (seen[table] = new Set<string>());
        while (!isRoundOver) {
          states.add(await stateOf(table));
          polls += 1;
        }
      });
      const startedAt = Date.now();
      for (const table of TABLES)
        await harness.temporal.client.workflow
          .getHandle(harness.workflowId({ schema: 'public', table }))
          .signal('resync', { requestId: `round-${round}` });
      if (kill !== undefined) {
        await sleep(kill);
        await harness.worker.kill();
        await harness.worker.start();
      }
      for (const table of TABLES)
        await waitFor(
          async () => {
            const { backfills, parks, changed } = await status(table);
            expect(parks).toEqual([]);
            expect(changed?.failure ?? null).toBeNull();
            return backfills.some((each) => each.requestId === `round-${round}` && each.status === 'finished');
          },
          { deadlineMs: DEADLINE_MS, what: `round ${round} of ${table}`, everyMs: 100 },
        );
      tookMs.push(Date.now() - startedAt);
      isRoundOver = true;
      await Promise.all(reading);
      for (const table of TABLES) {
        expect(await stateOf(table)).toBe(right);
        expect([damaged[table], right]).toEqual(expect.arrayContaining([...(seen[table] ?? [])]));
      }
    }
    isOver = true;
    await writing;
    expect((await harness.settle(DEADLINE_MS)).every(isEqual)).toBe(true);
    expect(await one(`select arraySort(groupArray(name)) from system.tables where database = currentDatabase()`)).toBe(
      `['direct','direct_current','direct_floor','over_kafka','over_kafka_current','over_kafka_floor']`,
    );
    expect(harness.deaths).toEqual([]);
    console.log(
      `rounds of ${tookMs.join(', ')} ms, ${writes} updates of 40 rows in each table, ${polls} looks of readers`,
    );
  },
);
