import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom, type Random } from '../../dev/demo/random.js';
import { createSql, transact, worksOf } from '../../dev/night/works.js';
import { optionsOf, titleOf, workingChoices } from '../../dev/night/ways.js';
import type { RouteChoice } from '../../src/domain/route-choice.js';
import { APPEND_ONLY_CAPTURES, FOREIGN_TOPIC_CAPTURES } from '../../src/domain/route.js';
import type { Registry } from '../../dev/stack/registry.js';
import { letReadWal } from '../support/least-role.js';
import { openHarness, type AddedTable, type Harness } from '../support/harness.js';
import { openRegistry } from '../support/registry.js';
import { addressOf, freshDatabase, freshSink } from '../support/stack.js';

const WRITING_MS = 24_000;
const KILL_EVERY_MS = 4_000;
/** Between two transactions of one table: all of them together make some 70 a second. */
const PAUSE_MS = 200;
/** A worker that dies is missed after 10 s; ClickHouse's consumers need as long again. */
const SETTLE_MS = 120_000;

/** A topic of others needs them: `stack.debezium.test.ts` has one. A log is compared with what was written: `log-kill.test.ts`. */
const ways = workingChoices().filter(
  ({ capture, engine }) => !FOREIGN_TOPIC_CAPTURES.includes(capture) && engine !== 'log',
);

let harness: Harness;
let registry: Registry;

beforeAll(async () => {
  const postgres = await freshDatabase('ways');
  registry = await openRegistry();
  harness = await openHarness(
    {
      postgres,
      kafka: addressOf('kafka'),
      clickhouse: await freshSink('ways'),
      temporal: addressOf('temporal'),
    },
    {},
    { SCHEMA_REGISTRY_URL: registry.url },
  );
  await letReadWal(postgres);
});
afterAll(async () => {
  await harness.close();
  await registry.stop();
});

it(
  `every way moves a mixed workload through kill -9 of the worker every ${KILL_EVERY_MS} ms, and both sides are equal`,
  async () => {
    const tables = ways.map(tableOf);
    const pg = await harness.connect();
    for (const { table } of tables) await pg.query(createSql(table));
    // Who polls reads where the sequence stands.
    await pg.query(/* sql */ `grant select on all sequences in schema public to public`);
    await harness.add(...tables);

    const until = Date.now() + WRITING_MS;
    const writing = Promise.all(
      tables.map(async (table, index) => write(await harness.connect(), table, seededRandom(index + 1), until)),
    );
    let kills = 0;
    while (Date.now() < until) {
      await pause(Math.min(KILL_EVERY_MS, until - Date.now()));
      await harness.worker.kill();
      kills += 1;
      await harness.worker.start();
    }
    const written = await writing;
    const comparisons = await harness.settle(SETTLE_MS);
    for (const [index, comparison] of comparisons.entries()) {
      const { equal, source } = comparison;
      console.log(`${titleOf(ways[index])}: ${written[index]} transactions, ${equal} of ${source} rows equal`);
    }
    const different = comparisons.flatMap((comparison, index) =>
      isEqual(comparison) ? [] : [{ way: titleOf(ways[index]), ...comparison }],
    );
    expect(different).toEqual([]);
    expect(harness.deaths).toEqual([]);
    expect(kills).toBeGreaterThan(3);
    expect(Math.min(...written)).toBeGreaterThan(20);
  },
  WRITING_MS + SETTLE_MS + 180_000,
);

function tableOf(choice: RouteChoice, index: number): AddedTable {
  return { schema: 'public', table: `way_${index + 1}`, ...optionsOf(choice) };
}

/** @returns transactions that committed */
async function write(pg: Client, { table, capture = 'outbox' }: AddedTable, random: Random, until: number) {
  const works = worksOf({ appendOnly: APPEND_ONLY_CAPTURES.includes(capture) });
  let committed = 0;
  while (Date.now() < until) {
    if (await transact(pg, table, random.pick(works), random)) committed += 1;
    await pause(random.below(2 * PAUSE_MS));
  }
  return committed;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
