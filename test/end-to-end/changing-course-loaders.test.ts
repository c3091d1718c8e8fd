import { afterAll, beforeAll, expect, it } from 'vitest';
import { addLoader } from '../../activities/change-loaders.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { countAddedLoaders } from '../../src/ledger/tables.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** The route is changed of a table that several loaders, or the Kafka engine, load. */
let path: Path;
beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

async function polled(options: object = {}): Promise<{ table: string; followed: Followed }> {
  const table = freshName('loaded');
  await path.source.query(/* sql */ `create table ${table} (id bigint generated always as identity primary key, v text);
    grant select on sequence ${table}_id_seq to public;
    insert into ${table} (v) select 'first' from generate_series(1, 500)`);
  const followed = await path.add(table, { capture: 'poll', transport: 'kafka', ...options });
  return { table, followed };
}

function insert(table: string): Promise<unknown> {
  return path.source.query(`insert into ${table} (v) select 'more' from generate_series(1, 100)`);
}

function change(table: string): Promise<unknown> {
  return path.source.query(/* sql */ `begin; insert into ${table} (v) select 'new' from generate_series(1, 100);
    update ${table} set v = v || '+' where id % 3 = 0; delete from ${table} where id % 7 = 0; commit`);
}

it('both loaders follow a change of format, of payload and of the capture, which both copy again', async () => {
  const { table, followed } = await polled();
  await followed.expectEqual();
  const { database } = path.settings.clickhouse;
  const added = await countAddedLoaders(path.deps.ledger);
  await followed.call(addLoader, { loader: { name: 'second', target: `${table}_second` } });
  expect(await countAddedLoaders(path.deps.ledger), 'loaders that take slots').toBe(added + 1);
  const drain = async (): Promise<void> => {
    for (let waits = 1; waits > 0;) {
      const { batches, waiting } = await followed.slice(loadSlice, 'load:second');
      waits = batches + waiting;
    }
  };
  const expectBothEqual = async (): Promise<void> => {
    await followed.expectEqual();
    await drain();
    const view = { database, table: `${table}_second_current` };
    const comparison = await compareTable({
      postgres: path.source,
      clickhouse: path.deps.clickhouse,
      table: followed.name,
      view,
    });
    expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
  };
  await expectBothEqual();
  await followed.configure({ format: 'packed' }, () => insert(table));
  await insert(table);
  await expectBothEqual();
  await followed.configure({ capture: 'outbox' }, () => change(table));
  expect(followed.receipt.generation).toBe(2);
  expect(followed.receipt.stages?.map(({ id }) => id)).toEqual([
    'copy',
    'copy:second',
    'publish',
    'load:main',
    'load:second',
  ]);
  await change(table);
  await followed.copy();
  // Its end waits for what came meanwhile.
  while ((await followed.slice(copyTable, 'copy:second')).finished === false) await drain();
  await expectBothEqual();
  await followed.configure({ payload: 'key' }, () => change(table));
  await change(table);
  await expectBothEqual();
  expect(await followed.configure({ transport: 'direct' })).toMatchObject({
    next: null,
    refused: expect.stringMatching(/one loader/u),
  });
  // What is in the topic is loaded by both before it is left.
  await change(table);
  let isOver = false;
  const growing = followed.configure({ capture: 'poll', payload: 'row', appendOnly: true }).finally(() => {
    isOver = true;
  });
  while (!isOver) await followed.slice(loadSlice, 'load:second');
  expect(await growing).toMatchObject({ next: null });
  expect(followed.receipt.generation).toBe(3);
  await insert(table);
  await expectBothEqual();
});

it.each([
  ['direct before', { transport: 'direct' }, [{ transport: 'kafka' }]],
  ['direct in between', {}, [{ transport: 'direct' }, { transport: 'kafka' }]],
  ['copied before', {}, [{ capture: 'outbox' }, { capture: 'poll', appendOnly: true }]],
] as const)('a loader is not added to a topic that lacks rows: the table was %s', async (_, options, course) => {
  const { table, followed } = await polled(options);
  await followed.expectEqual();
  for (const to of course) {
    await followed.configure(to, () => insert(table));
    if ('capture' in to && to.capture === 'outbox') await followed.copy();
    await followed.expectEqual();
  }
  const adding = followed.call(addLoader, { loader: { name: 'second', target: `${table}_second` } });
  await expect(adding).rejects.toMatchObject({ kind: 'OffsetsExpired', message: expect.stringMatching(/lacks rows/u) });
});

it.each([
  [
    { capture: 'outbox' },
    / configure \S+ --transport kafka --format json, then pg2click loader add \S+ eu --target NAME$/u,
  ],
  [{}, / remove \S+, then pg2click add \S+ .*--transport kafka .*, then pg2click loader add \S+ eu --target NAME$/u],
] as const)('a loader is not added without a topic, with %j: the remedy leads there', async (options, remedy) => {
  const { followed } = await polled({ transport: 'direct', ...options });
  await expect(followed.call(addLoader, { loader: { name: 'eu' } })).rejects.toMatchObject({
    kind: 'UnsuitableTable',
    message: 'Without a topic there is one loader: what it has loaded is taken out of the capture.',
    remedy: expect.stringMatching(remedy),
  });
});

it.each([{ transport: 'direct', format: 'avro' }, { format: 'packed' }] as const)(
  'a format where there are no messages is refused, and not dropped: %j',
  async (options) => {
    const { table, followed } = await polled('transport' in options ? {} : { transport: 'direct' });
    expect(await followed.configure(options)).toMatchObject({
      next: null,
      refused: `--format ${options.format} is of messages in Kafka, and --transport direct has none. Use --transport kafka, or leave --format ${options.format} out.`,
    });
    await insert(table);
    await followed.expectEqual();
  },
);

it('the Kafka engine reads on from poll to notify and back, stopped before the switch as by the workflow', async () => {
  const { table, followed } = await polled({ loader: 'kafka-engine' });
  await followed.expectEqual();
  for (const capture of ['notify', 'poll'] as const) {
    const done = await followed.configure({ capture }, async (step) => {
      await insert(table);
      if (step === 'switching' || step === 'clearing') await followed.stop();
    });
    expect(done).toMatchObject({ next: null, prepared: { generation: 1 } });
    expect(done.refused).toBeUndefined();
    await insert(table);
    await followed.expectEqual();
  }
});

it.each([
  [{ capture: 'outbox' }, /Kafka engine would read on/u],
  [{ transport: 'direct' }, /Kafka engine reads a topic/u],
  [{ format: 'packed' }, /one bad row/u],
  [{ payload: 'key' }, /cannot read rows from PostgreSQL/u],
  [{ loader: 'worker' }, /stays kafka-engine/u],
] as const)('a table of the Kafka engine is not changed to %j, and goes on', async (options, reason) => {
  const { table, followed } = await polled({ loader: 'kafka-engine' });
  expect(await followed.configure(options)).toMatchObject({ next: null, refused: expect.stringMatching(reason) });
  await insert(table);
  await followed.expectEqual();
});
