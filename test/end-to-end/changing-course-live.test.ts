import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom } from '../../dev/demo/random.js';
import { queryTable } from '../../src/control/describe-table.js';
import { sendCommand } from '../../src/control/send-command.js';
import type { RouteOptions } from '../../src/domain/route-change.js';
import { openHarness, type Harness } from '../support/harness.js';
import { letReadWal } from '../support/least-role.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const SETTLE_MS = 60_000;
const CHANGE_MS = 120_000;
/** Of the worker, in each change: it starts within 2 s, and one that died is missed after 10 s. */
const KILLS = 2;
const KILL_AFTER_MS = 2_500;
const EVERY_MS = 20;

/** From the simplest way to the others, while people write and, in the second run, the worker dies. */
const COURSE: readonly { readonly to: RouteOptions; readonly writes: 'inserts' | 'all' }[] = [
  { to: { capture: 'notify' }, writes: 'inserts' },
  { to: { capture: 'outbox' }, writes: 'all' },
  { to: { transport: 'kafka' }, writes: 'all' },
  { to: { format: 'packed' }, writes: 'all' },
  { to: { transport: 'direct' }, writes: 'all' },
  { to: { transport: 'kafka', format: 'json' }, writes: 'all' },
];
/** Positions go on: a worker that dies in between leaves two captures that fill one outbox. */
const COURSE_OF_KILLS: typeof COURSE = [
  ...COURSE,
  { to: { capture: 'wal' }, writes: 'all' },
  { to: { capture: 'outbox' }, writes: 'all' },
];

describe('a table that changes its way under a mixed workload', { timeout: 600_000 }, () => {
  let harness: Harness;
  beforeAll(async () => {
    const postgres = await freshDatabase('course');
    harness = await openHarness({
      postgres,
      kafka: addressOf('kafka'),
      clickhouse: await freshSink('course'),
      temporal: addressOf('temporal'),
    });
    await letReadWal(postgres);
  });
  afterAll(() => harness?.close());

  it.each([
    ['is equal after each step', false],
    [`is equal after each step, with kill -9 of the worker ${KILLS} times in it`, true],
  ])('%s', async (_, kills) => {
    const table = kills ? 'killed' : 'course';
    const name = { schema: 'public', table };
    const pg = await harness.connect();
    await pg.query(/* sql */ `create table ${table} (id bigint generated always as identity primary key, v text);
      grant select on sequence ${table}_id_seq to public;
      insert into ${table} (v) select 'first' from generate_series(1, 2000)`);
    await harness.add({ ...name, capture: 'poll', sliceMs: 5_000 });
    const random = seededRandom(1);
    const pipeline = harness.workflowId(name).split('/')[1] ?? '';
    let killed = 0;
    for (const { to, writes } of kills ? COURSE_OF_KILLS : COURSE) {
      const writer = startWriting(await harness.connect(), table, writes);
      const changing = change(harness, { pipeline, ...name }, to);
      for (let n = 0; kills && n < KILLS; n += 1) {
        await sleep(random.below(KILL_AFTER_MS));
        await harness.worker.kill();
        killed += 1;
        await harness.worker.start();
      }
      const tookMs = await changing;
      await sleep(500);
      const written = await writer.stop();
      const comparisons = await harness.settle(SETTLE_MS);
      console.log(JSON.stringify({ to, tookMs, written, killed, rows: comparisons.map(({ equal }) => equal) }));
      expect(comparisons.filter((each) => !isEqual(each))).toEqual([]);
    }
    expect(harness.deaths).toEqual([]);
  });
});

async function change(
  harness: Harness,
  name: { readonly pipeline: string; readonly schema: string; readonly table: string },
  to: RouteOptions,
): Promise<number> {
  const { client } = harness.temporal;
  const startedAt = Date.now();
  await sendCommand(client, { ...name, action: 'configure', message: to });
  await waitFor(
    async (see) => {
      const status = await queryTable(client, harness.workflowId(name));
      see({ phase: status?.phase, change: status?.routeChange, failure: status?.failure });
      return status !== undefined && status.routeChange === null && status.phase === 'streaming';
    },
    { deadlineMs: CHANGE_MS, what: `the change to ${JSON.stringify(to)}`, everyMs: 100 },
  );
  return Date.now() - startedAt;
}

/** One transaction after the other. @returns a function that ends it, and says how many rows were changed */
function startWriting(pg: Client, table: string, writes: 'inserts' | 'all'): { stop(): Promise<number> } {
  let isOver = false;
  let written = 0;
  const insert = `insert into ${table} (v) select 'new' from generate_series(1, 5)`;
  const run = async (): Promise<void> => {
    for (let round = 1; !isOver; round += 1) {
      const others = [
        `update ${table} set v = v || '+' where id % 97 = ${round % 97}`,
        `delete from ${table} where id % 211 = ${round % 211}`,
        `update ${table} set id = default where id % 389 = ${round % 389}`,
      ];
      for (const statement of [insert, ...(writes === 'all' ? [others[round % 3] ?? insert] : [])])
        written += (await pg.query(statement)).rowCount ?? 0;
      await sleep(EVERY_MS);
    }
  };
  const running = run();
  return {
    async stop() {
      isOver = true;
      await running;
      await pg.end();
      return written;
    },
  };
}
