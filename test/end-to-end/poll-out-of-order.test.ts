import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { Registry } from '../../src/pipeline/registry.js';
import type { Capture } from '../../src/source/capture.js';
import { makePollCapture, notifyCapture, pollCapture } from '../../src/source/poll/poll-capture.js';
import { writeOutOfOrder, type OutOfOrderOptions } from '../support/out-of-order.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

/*
 * Eight writers whose transactions commit out of order, and a poll that reads beside them; and the same with its guards switched
 * off, which shows that the others would fail without them.
 */

const captureOf = (kind: string, guards: Parameters<typeof makePollCapture>[1]): Capture => ({
  ...makePollCapture('poll', guards),
  kind,
  inspect: async (...args) => {
    const inspection = await pollCapture.inspect(...args);
    return { ...inspection, capture: { ...inspection.capture, kind } };
  },
});

const CAPTURES = new Registry<Capture>('capture', [
  pollCapture,
  notifyCapture,
  captureOf('poll-at-once', { settles: false, keepsGaps: false }),
  captureOf('poll-without-gaps', { keepsGaps: false }),
]);

const WRITE_MS = 12_000;
/** Gaps that are young when it ends are asked for within seconds. */
const YOUNG_MS = 20_000;

/** A poll without its guards: rows were passed over before the writers begin, and once it says that nothing waits they stay missing. */
const UNGUARDED = { milliseconds: 4_000, youngMs: 0 };

let path: Path;
beforeAll(async () => {
  path = await openPath({ captures: CAPTURES });
});
afterAll(() => path.close());

async function follow(options: TableOptions): Promise<[string, Followed]> {
  const table = freshName('t');
  await path.source.query(
    `create table ${table} (id bigserial primary key, writer int, name text);
     grant select on sequence ${table}_id_seq to ${path.settings.postgres.user}`,
  );
  return [table, await path.add(table, options)];
}

/** @returns rows that are in PostgreSQL and did not come */
async function run(
  options: TableOptions,
  { youngMs = YOUNG_MS, ...workload }: Partial<OutOfOrderOptions> & { readonly youngMs?: number } = {},
  overtake: (table: string, followed: Followed) => Promise<void> = () => Promise.resolve(),
): Promise<{ missing: number; rows: number }> {
  const [table, followed] = await follow(options);
  await overtake(table, followed);
  let isOver = false;
  const written = writeOutOfOrder(table, {
    connect: () => path.session(),
    writers: 8,
    milliseconds: WRITE_MS,
    seed: 1,
    ...workload,
  }).finally(() => (isOver = true));
  while (!isOver) await followed.settle();
  const counts = await written;
  let comparison = await followed.compare();
  const deadline = Date.now() + youngMs;
  do {
    await followed.settle();
    comparison = await followed.compare();
  } while (comparison.equal < comparison.source && Date.now() < deadline);
  const missing = comparison.source - comparison.equal;
  console.log(JSON.stringify({ outOfOrder: { ...options, ...counts, rows: comparison.source, missing } }));
  expect(counts.late).toBeGreaterThan(0);
  expect(counts.drawnBefore).toBeGreaterThan(0);
  expect(counts.rolledBack).toBeGreaterThan(0);
  expect(counts.prepared).toBe(1);
  return { missing, rows: comparison.source };
}

const TIMEOUT_MS = WRITE_MS + 90_000;

for (const options of [
  { capture: 'poll' },
  { capture: 'poll', transport: 'kafka' },
  { capture: 'poll', intervalMs: 300 },
  { capture: 'notify' },
  { capture: 'notify', transport: 'kafka', format: 'packed' },
] as const satisfies readonly TableOptions[])
  it(
    `${JSON.stringify(options)} loses no row of 8 writers whose transactions commit out of order`,
    { timeout: TIMEOUT_MS },
    async () => {
      expect((await run(options)).missing).toBe(0);
    },
  );

/** Long transactions keep a poll waiting, and then ids that were drawn early are there in time. */
const workload = { lateMs: 200, drawn: 40 };

/** However slow the machine is: a row is read whose number is above that of a row that comes later. */
async function readAnother(table: string, followed: Followed): Promise<void> {
  await path.source.query(`insert into ${table} (writer, name) values (-2, 'overtakes')`);
  await waitFor(
    async () => {
      await followed.direct();
      return Number(await followed.sink('select count() from {current}')) > 0;
    },
    { deadlineMs: 30_000, what: 'the row that overtakes' },
  );
}

async function overtakeOpen(table: string, followed: Followed): Promise<void> {
  const open = await path.session();
  await open.query(`begin; insert into ${table} (writer, name) values (-2, 'open')`);
  await readAnother(table, followed);
  await open.query('commit');
}

async function overtakeDrawn(table: string, followed: Followed): Promise<void> {
  const { rows } = await path.source.query<{ id: string }>(`select nextval('${table}_id_seq')::text as id`);
  await readAnother(table, followed);
  await path.source.query(`insert into ${table} (id, writer, name) values (${rows[0]?.id}, -2, 'drawn')`);
}

it(
  'a poll that neither waits for writers nor asks for gaps again loses rows of the same writers',
  { timeout: TIMEOUT_MS },
  async () => {
    expect((await run({ capture: 'poll-at-once' }, UNGUARDED, overtakeOpen)).missing).toBeGreaterThan(0);
  },
);

it(
  'a poll that does not ask for gaps again loses rows of ids that were drawn early, and one that asks does not',
  { timeout: 2 * TIMEOUT_MS },
  async () => {
    expect(
      (await run({ capture: 'poll-without-gaps' }, { ...workload, ...UNGUARDED }, overtakeDrawn)).missing,
    ).toBeGreaterThan(0);
    expect((await run({ capture: 'poll' }, workload, overtakeDrawn)).missing).toBe(0);
  },
);
