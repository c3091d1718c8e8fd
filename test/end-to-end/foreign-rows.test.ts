import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTable } from '../../activities/prepare-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { attempt } from '../support/activity.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** Rows in a target that somebody else wrote: never shown beside those of the source, never deleted unasked. */
describe('rows of somebody else', () => {
  let path: Path;
  let table: string;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  const make = async (): Promise<void> => {
    table = freshName('t');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'ours' from generate_series(1, 20) i`);
  };
  const shown = (): string => `${path.settings.clickhouse.database}.${table}`;
  const sql = (query: string) => path.deps.clickhouse.command({ query });
  const makeTarget = () =>
    sql(`create table ${shown()} (id Int32, v Nullable(String), _version UInt128, _deleted UInt8)
      engine = ReplacingMergeTree(_version, _deleted) order by id`);
  const write = (id: number, version: bigint) =>
    sql(`insert into ${shown()} values (${id}, 'theirs', toUInt128('${version}'), 0)`);
  const copied = async (): Promise<Followed> => {
    const followed = await path.add(table);
    await followed.copy();
    await followed.settle();
    return followed;
  };
  const address = () => ({ pipeline: path.settings.pipeline, schema: 'public', table });

  /** Nanoseconds since 1970, shifted as another tool does it: a generation, by their size. */
  const OTHER_TOOL = 1_764_000_000_000_000_000n << 64n;

  it.each([
    ['a small version', 5n],
    ['the version of another tool', OTHER_TOOL],
    ['the highest version there is', (1n << 128n) - 1n],
  ])('with %s keep a table from being taken', async (_what, version) => {
    await make();
    await makeTarget();
    await write(4711, version);
    await expect(attempt(() => prepareTable(path.deps, { ...address(), options: {} })).result).rejects.toMatchObject({
      kind: 'TargetTaken',
      message: expect.stringContaining(`${shown()} holds rows that pg2click did not write`),
      remedy: expect.stringContaining(`truncate table ${shown()}`),
    });
    // The remedy.
    await sql(`truncate table ${shown()}`);
    const followed = await path.add(table);
    expect(followed.receipt.generation).toBe(1);
    await followed.copy();
    expect(await followed.expectEqual()).toBe(20);
  });

  it('that came without a version, or with a small one, are not shown', async () => {
    await make();
    const followed = await copied();
    await sql(`insert into ${shown()} (id, v) values (4711, 'theirs'), (3, 'theirs')`);
    await write(4712, 5n);
    expect(await followed.expectEqual()).toBe(20);
  });

  it('that would win over every change park the table, and its remedy leads out', async () => {
    await make();
    const followed = await copied();
    await write(3, composeVersion(200, 1n));
    const met = await attempt(() => followed.load()).result.catch((error: unknown) => error);
    expect(met).toMatchObject({
      kind: 'TargetTaken',
      message: expect.stringContaining(`${shown()} holds rows that pg2click did not write`),
      remedy: expect.stringContaining(`pg2click remove public.${table} --drop-target`),
    });
    await followed.remove(true);
    const again = await copied();
    await path.source.query(`update ${table} set v = 'newer' where id = 3`);
    expect(await again.expectEqual()).toBe(20);
  });

  it('that would win in a table of the user park it too: there it is emptied first', async () => {
    await make();
    await makeTarget();
    const followed = await copied();
    await write(3, (1n << 128n) - 1n);
    await expect(attempt(() => followed.load()).result).rejects.toMatchObject({
      kind: 'TargetTaken',
      remedy: expect.stringContaining(`truncate table ${shown()}`),
    });
    await sql(`truncate table ${shown()}`);
    await followed.remove(true);
    const again = await copied();
    expect(await again.expectEqual()).toBe(20);
  });
});
