import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Registry } from '../../src/pipeline/registry.js';
import type { Capture } from '../../src/source/capture.js';
import { growingCapture, type GrowingOptions } from '../support/growing-capture.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/*
 * A plain MergeTree keeps what is inserted: each row must come once, whatever is sent twice, late, or by a frozen worker.
 */

let path: Path;
const hooks: { -readonly [K in keyof GrowingOptions]: GrowingOptions[K] } = { rows: 1_000 };
const options = { capture: 'growing', engine: 'merge-tree', transport: 'direct' } as const;
const capture: Capture = growingCapture({
  get rows() {
    return hooks.rows;
  },
  beforeRead: async (...args) => hooks.beforeRead?.(...args),
  beforeConfirm: async (...args) => hooks.beforeConfirm?.(...args),
} as GrowingOptions);

beforeAll(async () => {
  path = await openPath({ captures: new Registry<Capture>('capture', [capture]), sliceMs: 1_000 });
});
afterAll(() => path.close());
afterEach(() => {
  delete hooks.beforeRead;
  delete hooks.beforeConfirm;
});

async function createSource(rows = 0): Promise<string> {
  const table = freshName('source');
  await path.source.query(`create table ${table} (id bigint primary key, name text, value double precision)`);
  if (rows > 0) await grow(table, 1, rows);
  return table;
}

async function grow(table: string, first: number, last: number): Promise<void> {
  await path.source.query(
    `insert into ${table} select n, 'name ' || n, n / 4.0 from generate_series($1::bigint, $2::bigint) n`,
    [first, last],
  );
}

const clickhouse = (query: string): Promise<unknown> => path.deps.clickhouse.command({ query });
/** Of a slice that must name a batch however slow the machine is. */
const LONG_MS = 5_000;

/** Fails after a batch was written and before it is confirmed, as a crash does. */
function crashOnce(): void {
  hooks.beforeConfirm = () => {
    delete hooks.beforeConfirm;
    return Promise.reject(new Error('crash'));
  };
}

interface Frozen {
  /** Resolves when a worker stands between the name of its batch and the first byte. */
  readonly stands: Promise<void>;
  thaw(): void;
}

function freezeOnce(): Frozen {
  const [stands, thawed] = [deferred(), deferred()];
  hooks.beforeRead = () => {
    delete hooks.beforeRead;
    stands.resolve();
    return thawed.promise;
  };
  return { stands: stands.promise, thaw: () => thawed.resolve() };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** A target of the user's, as in the recipe, for a table of `createSource`. */
async function createTarget(more = ''): Promise<string> {
  const target = freshName('target');
  await clickhouse(
    `create table ${target} (id Int64, name Nullable(String), value Nullable(Float64)) engine = MergeTree order by id ${more}`,
  );
  return target;
}

async function addSum(target: string, window: number): Promise<string> {
  const sum = `${target}_sum`;
  await clickhouse(
    `create table ${sum} (bucket Int64, n UInt64, total Int64) engine = SummingMergeTree order by bucket
     settings non_replicated_deduplication_window = ${window}`,
  );
  await clickhouse(
    `create materialized view ${target}_view to ${sum} as
     select id % 10 as bucket, count() as n, sum(id) as total from ${target} group by bucket`,
  );
  return sum;
}

describe('a batch that was written and not confirmed', { timeout: 120_000 }, () => {
  it('is written once where the target remembers no block at all', async () => {
    const table = await createSource(3_000);
    const followed = await path.add(table, { ...options, target: await createTarget() });
    crashOnce();
    await expect(followed.direct(undefined, LONG_MS)).rejects.toThrow('crash');
    expect(await followed.expectEqual()).toBe(3_000);
  });

  it('is completed where only a part of it is there', async () => {
    const table = await createSource(1_000);
    const target = await createTarget();
    const followed = await path.add(table, { ...options, target });
    crashOnce();
    await expect(followed.direct(undefined, LONG_MS)).rejects.toThrow('crash');
    await clickhouse(`delete from ${target} where id % 3 = 0`);
    expect(await followed.expectEqual()).toBe(1_000);
  });

  it('reaches a materialized view once, through a chain of views too', async () => {
    const table = await createSource(3_000);
    const target = await createTarget('settings non_replicated_deduplication_window = 100');
    const followed = await path.add(table, { ...options, target });
    const sum = await addSum(target, 100);
    await clickhouse(
      `create table ${target}_all (n UInt64) engine = MergeTree order by n settings non_replicated_deduplication_window = 100`,
    );
    await clickhouse(`create materialized view ${target}_chain to ${target}_all as select n from ${sum}`);
    for (let crashes = 0; crashes < 2; crashes += 1) {
      crashOnce();
      await expect(followed.direct(undefined, LONG_MS)).rejects.toThrow('crash');
    }
    expect(await followed.expectEqual()).toBe(3_000);
    expect(await followed.sink(`select sum(n), sum(total) from ${sum}`)).toBe(`3000\t${(3_000 * 3_001) / 2}`);
    expect(await followed.sink(`select sum(n) from ${target}_all`)).toBe('3000');
  });

  it('parks where a view may lack it, and goes on as the remedy says', async () => {
    const table = await createSource(1_000);
    const target = await createTarget('settings non_replicated_deduplication_window = 100');
    const sum = await addSum(target, 100);
    const followed = await path.add(table, { ...options, target });
    await followed.settle();
    await grow(table, 1_001, 2_000);
    crashOnce();
    await expect(followed.direct(undefined, LONG_MS)).rejects.toThrow('crash');
    // Blocks of somebody else move the window on.
    await clickhouse(
      `insert into ${sum} select 99, number, 0 from numbers(60)
       settings max_block_size = 1, min_insert_block_size_rows = 1, max_threads = 1`,
    );
    const parked = followed.direct(undefined, LONG_MS);
    await expect(parked).rejects.toMatchObject({
      kind: 'SchemaMismatch',
      message: expect.stringMatching(
        /^Batch 2 may be in .*, and not in|^Batch 2 may be in .* and not in what its view/u,
      ),
      remedy: expect.stringContaining('id from 1001 on'),
    });
    await clickhouse(`detach table ${target}_view`);
    expect(await followed.expectEqual()).toBe(2_000);
    await clickhouse(`attach table ${target}_view`);
    expect(await followed.sink(`select sum(n) from ${sum} where bucket < 10`)).toBe('2000');
  });
});

describe('a worker that is frozen between naming and sending', () => {
  it.each([
    ['its own target', undefined],
    ["a target of the user's that remembers one block", 'settings non_replicated_deduplication_window = 1'],
  ])('inserts nothing when it thaws after another one took over: %s', async (_title, more) => {
    const table = await createSource(2_000);
    const followed = await path.add(table, {
      ...options,
      ...(more === undefined ? {} : { target: await createTarget(more) }),
    });
    const frozen = freezeOnce();
    const first = followed.direct(undefined, LONG_MS);
    await frozen.stands;
    await followed.direct();
    await grow(table, 2_001, 4_000);
    await followed.direct();
    frozen.thaw();
    await expect(first).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await followed.expectEqual()).toBe(4_000);
    expect(await followed.sink('select count(), sum(id) from {target}')).toBe(`4000\t${(4_000 * 4_001) / 2}`);
  });

  it('does not hold the next table of that name up, nor write into it', async () => {
    const table = await createSource(1_000);
    const followed = await path.add(table, options);
    const frozen = freezeOnce();
    const first = followed.direct(undefined, LONG_MS);
    await frozen.stands;
    await followed.remove();
    const again = await path.add(table, options);
    expect(again.receipt.generation).toBeGreaterThan(followed.receipt.generation);
    expect(await again.expectEqual()).toBe(1_000);
    frozen.thaw();
    await expect(first).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await again.expectEqual()).toBe(1_000);
  });
});

describe('a target that exists', () => {
  it('is refused with the SQL that makes it fit, and taken after that', async () => {
    const table = await createSource(10);
    const target = freshName('target');
    await clickhouse(`create table ${target} (id Int64, value Float32, extra UInt8) engine = MergeTree order by id`);
    const { database } = path.settings.clickhouse;
    const sql = `alter table \`${database}\`.\`${target}\``;
    const statements = [
      `${sql} add column \`name\` Nullable(String)`,
      `${sql} modify column \`value\` Nullable(Float64)`,
      `${sql} modify column \`extra\` default defaultValueOfTypeName('UInt8')`,
    ];
    await expect(path.add(table, { ...options, target })).rejects.toMatchObject({
      kind: 'SchemaMismatch',
      message: `The ClickHouse table ${database}.${target} does not fit public.${table}: column "name" Nullable(String) is missing; column "value" is Float32, not Nullable(Float64); column "extra" is not in the source and has no default.`,
      remedy: `Run in ClickHouse: ${statements.join('; ')}. Then run pg2click resume public.${table}.`,
    });
    for (const statement of statements) await clickhouse(statement);
    const followed = await path.add(table, { ...options, target });
    await followed.settle();
    expect(await followed.sink('select count(), sum(id) from {target}')).toBe('10\t55');
  });

  it.each([
    ['SummingMergeTree', 'engine = SummingMergeTree order by id', 'its engine is SummingMergeTree, which merges rows'],
    ['Memory', 'engine = Memory', 'was not made by pg2click (Memory)'],
  ])('is refused with the engine %s', async (_engine, definition, why) => {
    const target = freshName('target');
    await clickhouse(`create table ${target} (id Int64, name Nullable(String), value Nullable(Float64)) ${definition}`);
    const table = await createSource();
    await expect(path.add(table, { ...options, target })).rejects.toMatchObject({
      message: expect.stringContaining(why),
    });
  });

  it('is refused while it holds rows, and taken when it is empty', async () => {
    const table = await createSource(10);
    const target = await createTarget();
    await clickhouse(`insert into ${target} values (1, 'of the loop of before', 1)`);
    await expect(path.add(table, { ...options, target })).rejects.toMatchObject({ kind: 'TargetTaken' });
    await clickhouse(`truncate table ${target}`);
    expect(await (await path.add(table, { ...options, target })).expectEqual()).toBe(10);
  });

  it('is refused with a view whose table remembers no blocks, and parks where one is added later', async () => {
    const table = await createSource(10);
    const target = await createTarget('settings non_replicated_deduplication_window = 100');
    const sum = await addSum(target, 0);
    const refusal = {
      kind: 'SchemaMismatch',
      message: expect.stringContaining(`.${sum} remembers 0 blocks, 100 are needed`),
      remedy: expect.stringContaining('modify setting non_replicated_deduplication_window = 1000'),
    };
    await expect(path.add(table, { ...options, target })).rejects.toMatchObject(refusal);
    await clickhouse(`detach table ${target}_view`);
    const followed = await path.add(table, { ...options, target });
    await followed.settle();
    await clickhouse(`attach table ${target}_view`);
    await expect(followed.direct()).rejects.toMatchObject(refusal);
    await clickhouse(`alter table ${sum} modify setting non_replicated_deduplication_window = 1000`);
    await followed.settle();
  });

  it('of the user stays when the table is removed; a target of ours goes', async () => {
    const table = await createSource(10);
    const target = await createTarget();
    const followed = await path.add(table, { ...options, target });
    await followed.settle();
    const { database } = path.settings.clickhouse;
    expect(await followed.remove(true)).toEqual({
      dropped: [`${database}.${target}_fence`],
      kept: [{ name: `${database}.${target}`, why: 'it was not made by pg2click' }],
    });
    const own = await path.add(table, options);
    await own.settle();
    expect(await own.remove(true)).toEqual({
      dropped: [`${database}.${table}_fence`, `${database}.${table}`],
      kept: [],
    });
  });
});

describe('rows that were confirmed and are gone', () => {
  it('park the table after a TRUNCATE in ClickHouse', async () => {
    const table = await createSource(1_000);
    const followed = await path.add(table, options);
    await followed.settle();
    await clickhouse(`truncate table ${table}`);
    await expect(followed.direct()).rejects.toMatchObject({
      kind: 'SinkSetBack',
      message: expect.stringContaining('is empty, and rows were confirmed'),
    });
  });

  it('park it also where a newer batch came after the TRUNCATE', async () => {
    const table = await createSource(1_000);
    const followed = await path.add(table, options);
    await followed.settle();
    await grow(table, 1_001, 1_010);
    hooks.beforeRead = async () => {
      delete hooks.beforeRead;
      await clickhouse(`truncate table ${table}`);
    };
    const moved = followed.settle();
    await expect(moved).rejects.toMatchObject({
      kind: 'SinkSetBack',
      message: expect.stringContaining('lacks rows that were confirmed'),
    });
  });

  it("are no loss where a DELETE of the user's took them", async () => {
    const table = await createSource(1_000);
    const followed = await path.add(table, options);
    await followed.settle();
    await clickhouse(`delete from ${table} where id > 500`);
    await grow(table, 1_001, 1_010);
    await followed.settle();
    expect(await followed.sink('select count() from {target}')).toBe('510');
  });
});

it('parks where the ledger is older than the fence', async () => {
  const table = await createSource(10);
  const followed = await path.add(table, options);
  for (let slice = 0; slice < 3; slice += 1) await followed.direct();
  await path.source.query(`update pg2click.stage set epoch = 1 where table_id = $1`, [followed.receipt.id]);
  await expect(followed.direct()).rejects.toMatchObject({ kind: 'LedgerSetBack' });
});

it('moves a table that only grows into a plain MergeTree of its own', async () => {
  const table = await createSource(2_500);
  const followed = await path.add(table, options);
  expect(await followed.expectEqual()).toBe(2_500);
  await grow(table, 2_501, 2_600);
  expect(await followed.expectEqual()).toBe(2_600);
  expect(await followed.sink('select count(), uniqExact(id) from {target}')).toBe('2600\t2600');
  const { database } = path.settings.clickhouse;
  expect(
    await followed.sink(
      `select name, engine, comment like 'pg2click %' from system.tables where database = '${database}' and startsWith(name, '${table}') order by name`,
    ),
  ).toBe(`${table}\tMergeTree\t1\n${table}_fence\tReplacingMergeTree\t1`);
});
