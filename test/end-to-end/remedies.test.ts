import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { copyTable } from '../../activities/copy-table.js';
import { prepareTable } from '../../activities/prepare-table.js';
import { removeTable } from '../../activities/remove-table.js';
import type { Deps } from '../../activities/deps.js';
import { ConfigResourceTypes } from 'kafkajs';
import type { Failure } from '../../src/failure/failure.js';
import { withAdmin } from '../support/kafka.js';
import { attempt } from '../support/activity.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

/** What `status` tells a person to do, done to the letter and alone: the table is equal afterwards. */
describe('the remedy of', () => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());
  beforeEach(async () => {
    table = freshName('remedy');
    await path.source.query(`create table ${table} (id int primary key, day date);
      insert into ${table} select i, '2024-01-01' from generate_series(1, 20) i`);
    followed = await path.add(table);
    await followed.copy();
    await followed.expectEqual();
  });

  const address = () => ({ pipeline: path.settings.pipeline, schema: 'public', table });
  const addAgain = async (): Promise<number> => {
    const again = await path.add(table);
    await again.copy();
    await path.source.query(`delete from ${table} where id = 5`);
    return again.expectEqual();
  };

  it('SourceChanged with a key of another type: remove --drop-target, then add', async () => {
    await path.source.query(`alter table ${table} alter id type bigint`);
    await expect(followed.publish()).rejects.toMatchObject({
      kind: 'SourceChanged',
      remedy: expect.stringMatching(
        `^Run pg2click remove public\\.${table} --drop-target, then pg2click add public\\.${table} --target .*: it is copied again\\.$`,
      ) as string,
    });
    await followed.remove(true);
    expect(await addAgain()).toBe(19);
  });

  it('SourceChanged with a key of another type, removed without --drop-target: that of SchemaMismatch', async () => {
    await path.source.query(`alter table ${table} alter id type bigint`);
    await followed.remove();
    await expect(attempt(() => prepareTable(path.deps, { ...address(), options: {} })).result).rejects.toMatchObject({
      kind: 'SchemaMismatch',
    });
    expect(await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result).toMatchObject({
      dropped: [`${followed.receipt.target}_current`, `${followed.receipt.target}_floor`, followed.receipt.target],
    });
    expect(await addAgain()).toBe(19);
  });

  it.each([
    [
      'drop constraint T_pkey',
      /^See that the table has a primary key first, .*Then run pg2click remove .* --drop-target, then /u,
    ],
    [
      'drop column id',
      /^See that the table has a primary key first, .*Then run pg2click remove .* --drop-target, then /u,
    ],
    ['set unlogged', /^Run in PostgreSQL: alter table public\.T set logged\. Then run pg2click remove [^ ]+, then /u],
  ])('SourceChanged after %s: what add would refuse is said before remove', async (alter, remedy) => {
    await path.source.query(`alter table ${table} ${alter.replace('T', table)}`);
    const failure = (await followed.publish().catch((error: unknown) => error)) as { kind: string; remedy: string };
    expect(failure).toMatchObject({ kind: 'SourceChanged' });
    expect(failure.remedy.replace(`public.${table} set`, 'public.T set')).toMatch(remedy);
  });

  it('SourceChanged with the same columns: remove, then add', async () => {
    await path.source.query(`alter table ${table} disable trigger user; alter table ${table} enable trigger user`);
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'SourceChanged' });
    await followed.remove();
    expect(await addAgain()).toBe(19);
  });

  it.each(['day date', 'day text'])('MissingTable of a table that was replaced by one with %s', async (column) => {
    await path.source.query(`drop table ${table}; create table ${table} (id int primary key, ${column});
      insert into ${table} select i, '2024-01-01' from generate_series(1, 10) i`);
    await expect(followed.publish()).rejects.toMatchObject({ kind: 'MissingTable' });
    await followed.remove(true);
    expect(await addAgain()).toBe(9);
  });

  it('MissingTable of a table that was never there: create it, then resume', async () => {
    table = freshName('later');
    const prepare = () => attempt(() => prepareTable(path.deps, { ...address(), options: {} })).result;
    await expect(prepare()).rejects.toMatchObject({ kind: 'MissingTable' });
    await path.source.query(`create table ${table} (id int primary key)`);
    await prepare();
  });

  it('RowRefused by a constraint of the ClickHouse table: drop it, then resume', async () => {
    const { target } = followed.receipt;
    const alter = (change: string) => path.deps.clickhouse.command({ query: `alter table ${target} ${change}` });
    await alter('add constraint small check id < 100');
    await path.source.query(`insert into ${table} values (100, '2024-02-02')`);
    await followed.publish();
    await expect(followed.load(undefined, 10_000)).rejects.toMatchObject({ kind: 'RowRefused' });
    await expect(followed.load(undefined, 10_000), 'resume').rejects.toMatchObject({ kind: 'RowRefused' });
    await alter('drop constraint small');
    expect(await followed.expectEqual()).toBe(21);
  });

  it('RowRefused in copy, more than may be in quarantine: raise the limit, then resume', async () => {
    await followed.remove();
    await path.source.query(`insert into ${table} values (101, 'infinity')`);
    const again = await path.add(table);
    const copy = (deps: Partial<Deps> = {}) =>
      attempt(() => copyTable({ ...path.deps, ...deps }, { ...address(), checkpoint: null, sliceMs: 400 })).result;
    const { settings } = path.deps;
    const strict = { ...settings, worker: { ...settings.worker, quarantine: { rows: 0, percent: 50 } } };
    await expect(copy({ settings: strict })).rejects.toMatchObject({ kind: 'RowRefused' });
    await copy();
    await path.source.query(`update ${table} set day = '2024-02-02' where id = 101`);
    expect(await again.expectEqual()).toBe(21);
  });

  describe('MessageTooLarge', () => {
    const LIMIT = 100_000;
    const limit = (bytes: number): Promise<unknown> =>
      withAdmin((admin) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: ConfigResourceTypes.TOPIC,
              name: followed.topic,
              configEntries: [{ name: 'max.message.bytes', value: String(bytes) }],
            },
          ],
        }),
      );
    /** A row that no compression makes small, and one behind it. */
    const park = async (): Promise<void> => {
      await path.source.query(`alter table ${table} add column blob text`);
      await followed.settle();
      await limit(LIMIT);
      await path.source.query(`insert into ${table}
        select 100, '2024-01-01', (select string_agg(md5(random()::text), '') from generate_series(1, 10000));
        insert into ${table} values (101, '2024-01-02', 'small')`);
      await expect(followed.publish()).rejects.toMatchObject({
        kind: 'MessageTooLarge',
        message: expect.stringContaining('(id)') as string,
        remedy: expect.stringMatching(/Shorten or delete it\. Or set max\.message\.bytes=\d+ on the topic/u) as string,
      });
    };

    it('shorten the row, then resume', async () => {
      await park();
      await path.source.query(`update ${table} set blob = 'cut' where id = 100`);
      expect(await followed.expectEqual()).toBe(22);
    });

    it('delete the row, then resume', async () => {
      await park();
      await path.source.query(`delete from ${table} where id = 100`);
      expect(await followed.expectEqual()).toBe(21);
    });

    it('raise max.message.bytes to what it says, then resume', async () => {
      await park();
      const met = await followed.publish().catch((error: unknown) => error);
      await limit(Number(/max\.message\.bytes=(\d+)/u.exec(String((met as Failure).remedy))?.[1]));
      await waitFor(
        () =>
          followed.publish().then(
            () => true,
            () => false,
          ),
        { deadlineMs: 30_000, what: 'the limit' },
      );
      expect(await followed.expectEqual()).toBe(22);
    });
  });

  it('SinkSetBack of a worker that names another ClickHouse server: resume, once it names the right one', async () => {
    const { target } = followed.receipt;
    // What that worker sees: no such table.
    await path.deps.clickhouse.command({ query: `rename table ${target} to ${target}_elsewhere` });
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SinkSetBack' });
    await path.deps.clickhouse.command({ query: `rename table ${target}_elsewhere to ${target}` });
    await path.source.query(`update ${table} set day = null where id = 3`);
    expect(await followed.expectEqual()).toBe(20);
  });

  it('SinkSetBack of a target that lost its rows: remove, then add', async () => {
    await path.deps.clickhouse.command({ query: `truncate table ${followed.receipt.target}` });
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SinkSetBack' });
    await followed.remove();
    expect(await addAgain()).toBe(19);
  });
});
