import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTable } from '../../activities/prepare-table.js';
import { removeTable } from '../../activities/remove-table.js';
import { readStanding, registerTable } from '../../src/ledger/registration.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { attempt, gateClickHouse } from '../support/activity.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

/** Enough to use up every generation there is, if each took one. */
const ATTEMPTS = 300;

/** What attempts that fail, repeat, wait or wake up late do to a table, to its writers and to its target. */
describe('preparing and removing a table', () => {
  let path: Path;
  let table: string;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  const make = async (): Promise<string> => {
    table = freshName('t');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'old' from generate_series(1, 20) i`);
    return table;
  };
  const address = (name = table) => ({ pipeline: path.settings.pipeline, schema: 'public', table: name });
  const prepare = (name = table, options: TableOptions = {}) => prepareTable(path.deps, { ...address(name), options });
  const sinkTables = async (like: string): Promise<string[]> => {
    const found = await path.deps.clickhouse.query({
      query: `show tables from ${path.settings.clickhouse.database} like '${like}%'`,
      format: 'JSONEachRow',
    });
    return (await found.json<{ name: string }>()).map(({ name }) => name);
  };
  const triggersOn = async (name: string): Promise<number> =>
    (await path.source.query(`select from pg_trigger where tgrelid = '${name}'::regclass`)).rowCount ?? -1;

  it(`of a table that is locked takes one generation, not one for each of ${ATTEMPTS} attempts`, async () => {
    await make();
    const writer = await path.session();
    await writer.query(`begin; insert into ${table} values (100, 'open')`);
    const whole = () => attempt(() => prepareTable(path.deps, { ...address(), options: {} }, { lockWaitMs: 0 })).result;
    await expect(whole()).rejects.toMatchObject({ kind: 'LockTimeout' });
    // What each attempt writes into the ledger, without its other steps.
    for (let n = 2; n < ATTEMPTS; n += 1) {
      const standing = await readStanding(path.deps.ledger, path.settings.pipeline, address());
      const { columns, key, route, relation } = standing.table ?? never();
      const definition = { columns, key, route };
      const { pipeline, ...name } = address();
      await registerTable(path.deps.ledger, { pipeline, name, relation, definition, targetGeneration: 0 }, standing);
    }
    await expect(whole()).rejects.toMatchObject({ kind: 'LockTimeout' });
    await writer.query('commit');
    const followed = await path.add(table);
    expect(followed.receipt.generation).toBe(1);
    await followed.copy();
    await followed.expectEqual();
    await followed.remove(true);
    expect((await path.add(table)).receipt.generation, 'added again').toBe(2);
  });

  it('of a table that is altered while it waits for the lock begins anew, with the table as it is then', async () => {
    await make();
    const writer = await path.session();
    await writer.query(
      `begin; alter table ${table} add column large bigint; alter table ${table} alter id type bigint`,
    );
    const { result } = attempt(() => prepare());
    const outcome = expect(result).rejects.toMatchObject({ kind: 'Fenced' });
    await waitFor(async () => (await readStanding(path.deps.ledger, path.settings.pipeline, address())).table, {
      deadlineMs: 30_000,
      what: 'its registration',
    });
    await writer.query('commit');
    await outcome;
    expect(await triggersOn(table)).toBe(0);
    const followed = await path.add(table);
    await path.source.query(`insert into ${table} values (3000000000, 'new', 5000000000)`);
    await followed.copy();
    await path.source.query(`update ${table} set large = 6000000000`);
    await followed.expectEqual();
  });

  it('says it in one sentence when a table has had all generations there are', async () => {
    await make();
    await path.source.query(
      `insert into pg2click.history values ('${path.settings.pipeline}', 'public', '${table}', 255)`,
    );
    await expect(attempt(() => prepare()).result).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: expect.stringContaining(`public.${table} has been added 255 times`),
    });
    expect(await triggersOn(table)).toBe(0);
  });

  it('an attempt that wakes up before it registered the table leaves alone what another has prepared', async () => {
    await make();
    const { deps, gate } = gateClickHouse(path.deps);
    const late = attempt(() => prepareTable(deps, { ...address(), options: {} }));
    await gate.reached;
    const followed = await path.add(table);
    await followed.copy();
    // Captured and not yet published: what an outbox that is dropped takes with it.
    await path.source.query(`update ${table} set v = 'waits' where id = 3`);
    gate.open();
    await late.result.catch(() => undefined);
    await path.source.query(`update ${table} set v = 'newer' where id = 4`);
    expect(await followed.expectEqual()).toBe(20);
    const again = await attempt(() => prepare()).result;
    expect(again).toMatchObject({ id: followed.receipt.id, generation: 1 });
  });

  it('an attempt that wakes up after the table was removed does not put triggers on it', async () => {
    await make();
    const { deps, gate } = gateClickHouse(path.deps);
    const late = attempt(() => prepareTable(deps, { ...address(), options: {} }));
    await gate.reached;
    await (await path.add(table)).remove();
    gate.open();
    await expect(late.result).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await triggersOn(table)).toBe(0);
  });

  it('a removal that wakes up late does not drop the target of a table that was added again', async () => {
    await make();
    const followed = await path.add(table);
    await followed.copy();
    const { deps, gate } = gateClickHouse(path.deps);
    const late = attempt(() => removeTable(deps, { ...address(), dropTarget: true }));
    await gate.reached;
    await followed.remove();
    const again = await path.add(table);
    await again.copy();
    gate.open();
    await expect(late.result).rejects.toMatchObject({ kind: 'Fenced' });
    await path.source.query(`update ${table} set v = 'newer' where id = 4`);
    expect(await again.expectEqual()).toBe(20);
  });

  it('an attempt that waits for its turn says so, and leaves at once when it is cancelled', async () => {
    await make();
    const signal = new AbortController().signal;
    const busy = [];
    for (let n = 0; n < 4; n += 1) busy.push(await path.deps.connectSource(`busy ${n}`, { signal }));
    const preparing = attempt(() => prepare());
    const removing = attempt(() => removeTable(path.deps, { ...address(followedTable), dropTarget: false }));
    for (const waiting of [preparing, removing])
      await waitFor(
        (see) => {
          see(waiting.said);
          return waiting.said.some(({ moved }) => /waiting for its turn, \d ahead of it/u.test(moved));
        },
        { deadlineMs: 10_000, what: 'a heartbeat that tells of the wait' },
      );
    preparing.cancel();
    await expect(preparing.result).rejects.toThrow();
    removing.cancel();
    await expect(removing.result).rejects.toThrow();
    await Promise.all(busy.map((client) => client.end()));
    // Nobody who left the queue holds a place of it.
    const free = [];
    for (let n = 0; n < 4; n += 1) free.push(await path.deps.connectSource(`free ${n}`, { signal }));
    await Promise.all(free.map((client) => client.end()));
  });

  /** A table of its own: what waits for its turn to be removed has to be there. */
  let followedTable = '';
  beforeAll(async () => {
    followedTable = await make();
    await path.add(followedTable);
  });

  it('of two tables that are added at once one gets KAFKA_TOPIC and CH_TABLE, the other names of its own', async () => {
    const topic = freshName('first');
    const target = freshName('first');
    const settings = {
      ...path.settings,
      kafka: { ...path.settings.kafka, topic },
      clickhouse: { ...path.settings.clickhouse, table: target },
    };
    const names = [await make(), await make(), await make()];
    const receipts = await Promise.all(
      names.map(
        (name) => attempt(() => prepareTable({ ...path.deps, settings }, { ...address(name), options: {} })).result,
      ),
    );
    expect(receipts.filter((receipt) => receipt.topic === topic)).toHaveLength(1);
    expect(receipts.filter((receipt) => receipt.target.endsWith(`.${target}`))).toHaveLength(1);
    expect(new Set(receipts.map((receipt) => receipt.topic)).size).toBe(3);
  });

  it('a target that is taken is refused before anything is made, and the remedy leads out', async () => {
    const [first, second] = [await make(), await make()];
    await path.add(first);
    const topic = freshName('unmade');
    const refused = await attempt(() => prepare(second, { target: first, topic })).result.catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ kind: 'TargetTaken', message: expect.stringContaining(first) });
    expect((refused as { remedy: string }).remedy).toMatch(
      new RegExp(`pg2click remove public\\.${second}, then .*pg2click add public\\.${second} --target`, 'u'),
    );
    expect(await triggersOn(second)).toBe(0);
    const admin = path.deps.kafka.admin();
    await admin.connect();
    expect(await admin.listTopics()).not.toContain(topic);
    await admin.disconnect();
    await attempt(() => removeTable(path.deps, { ...address(second), dropTarget: true })).result;
    const again = await path.add(second, { target: freshName('other') });
    await again.copy();
    await again.expectEqual();
  });

  it('a topic name that Kafka refuses is refused before triggers and target are made', async () => {
    await make();
    const refused = await attempt(() => prepare(table, { topic: 'not a topic' })).result.catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ kind: 'Misconfigured', remedy: expect.stringContaining('--topic') });
    expect(await triggersOn(table)).toBe(0);
    expect(await sinkTables(table)).toEqual([]);
  });

  it('a removal drops the target of a table that was never made ready, and says what it dropped', async () => {
    await make();
    const broken = new Proxy(path.deps.clickhouse, {
      get(target, name, receiver) {
        if (name !== 'command') return Reflect.get(target, name, receiver) as unknown;
        // Between the floor and the view.
        return (params: { query: string }) =>
          params.query.includes('create view') ? Promise.reject(new Error('cut off')) : target.command(params);
      },
    });
    await expect(
      attempt(() => prepareTable({ ...path.deps, clickhouse: broken }, { ...address(), options: {} })).result,
    ).rejects.toThrow();
    expect(await sinkTables(table)).toEqual([table, `${table}_floor`]);
    const receipt = await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result;
    expect(await sinkTables(table)).toEqual([]);
    expect(await triggersOn(table)).toBe(0);
    const { database } = path.settings.clickhouse;
    expect(receipt).toEqual({ dropped: [`${database}.${table}_floor`, `${database}.${table}`], kept: [] });
  });

  it('a removal keeps what pg2click did not make, and says so', async () => {
    await make();
    const { database } = path.settings.clickhouse;
    await path.deps.clickhouse.command({
      query: `create table ${database}.${table} (id Int32, v Nullable(String), _version UInt128, _deleted UInt8)
        engine = ReplacingMergeTree(_version, _deleted) order by id`,
    });
    const followed = await path.add(table);
    await followed.copy();
    const kept = await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result;
    expect(kept).toEqual({
      dropped: [`${database}.${table}_current`, `${database}.${table}_floor`],
      kept: [{ name: `${database}.${table}`, why: 'it was not made by pg2click' }],
    });
    const again = await path.add(table);
    await again.copy();
    await again.expectEqual();
    const asked = await attempt(() => removeTable(path.deps, { ...address(), dropTarget: false })).result;
    expect(asked).toEqual({
      dropped: [],
      kept: [{ name: `${database}.${table}`, why: 'its removal was not asked for' }],
    });
  });

  it('a table of the user that holds rows is not taken: neither hidden nor deleted', async () => {
    await make();
    const target = `${path.settings.clickhouse.database}.${table}`;
    const ghosts = async (): Promise<string> => {
      const found = await path.deps.clickhouse.query({
        query: `select count() from ${target}`,
        format: 'TabSeparated',
      });
      return (await found.text()).trim();
    };
    await path.deps.clickhouse.command({
      query: `create table ${target} (id Int32, v Nullable(String), _version UInt128, _deleted UInt8)
        engine = ReplacingMergeTree(_version, _deleted) order by id`,
    });
    await path.deps.clickhouse.command({ query: `insert into ${target} values (4711, 'ghost', 5, 0)` });
    await expect(attempt(() => prepare()).result).rejects.toMatchObject({
      kind: 'TargetTaken',
      message: expect.stringContaining('holds rows that pg2click did not write'),
      remedy: expect.stringContaining(`truncate table ${target}`),
    });
    expect(await ghosts()).toBe('1');
    expect(await triggersOn(table)).toBe(0);
    await path.deps.clickhouse.command({ query: `truncate table ${target}` });
    const followed = await path.add(table);
    await followed.copy();
    expect(await followed.expectEqual()).toBe(20);
  });

  describe('marks of a release in which deployments had no identity', () => {
    const target = (): string => `${path.settings.clickhouse.database}.${table}`;
    const old = async (): Promise<void> => {
      for (const [suffix, role] of [
        ['', ''],
        ['_floor', ' floor'],
        ['_current', ' view'],
      ])
        await path.deps.clickhouse.command({
          query: `alter table ${target()}${suffix} modify comment 'pg2click ${path.settings.pipeline}/public.${table}${role}'`,
        });
    };
    /** A table of this pipeline that another deployment has added. */
    const addElsewhere = async (): Promise<Followed> => {
      const followed = await path.add(await make());
      await followed.copy();
      await old();
      await path.source.query(/* sql */ `delete from pg2click.replicated_table where table_name = '${table}'`);
      await path.source.query(/* sql */ `delete from pg2click.history where table_name = '${table}'`);
      await path.source.query(`drop table ${table}; create table ${table} (id int primary key, v text)`);
      return followed;
    };

    it('keep a table that is new here from the rows of another deployment', async () => {
      const other = await addElsewhere();
      await expect(attempt(() => prepare()).result).rejects.toMatchObject({
        kind: 'TargetTaken',
        message: expect.stringContaining(target()),
        remedy: expect.stringContaining('--target NAME'),
      });
      expect(await triggersOn(table)).toBe(0);
      // Again: its row in the ledger is there now, and is no proof.
      await expect(attempt(() => prepare()).result).rejects.toMatchObject({ kind: 'TargetTaken' });
      const removed = await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result;
      expect(removed).toMatchObject({ dropped: [] });
      expect(await other.sink('select count() from {current}')).toBe('20');
    });

    it('do so too where the ledger has half a row of then', async () => {
      const other = await addElsewhere();
      await expect(attempt(() => prepare()).result).rejects.toMatchObject({ kind: 'TargetTaken' });
      await path.source.query(/* sql */ `update pg2click.replicated_table set definition = definition - 'owner'
        where table_name = '${table}'`);
      expect(await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result).toMatchObject({
        dropped: [],
      });
      expect(await other.sink('select count() from {current}')).toBe('20');
    });

    it.each(['renewed', 'not renewed'])(
      'let a table that was ready then go on, and be dropped: %s',
      async (renewed) => {
        const followed = await path.add(await make());
        await followed.copy();
        await old();
        await path.source.query(/* sql */ `update pg2click.replicated_table set definition = definition - 'owner'
        where table_name = '${table}'`);
        expect(await attempt(() => prepare()).result).toMatchObject({ id: followed.receipt.id });
        const mark = await followed.sink(
          `select comment from system.tables where (database || '.' || name) = '${target()}'`,
        );
        expect(mark).toBe(`pg2click ${(await path.deps.deployment()).id} ${path.settings.pipeline}/public.${table}`);
        // As where the user of ClickHouse may not change comments.
        if (renewed === 'not renewed') await old();
        await path.source.query(`update ${table} set v = 'new'`);
        expect(await followed.expectEqual()).toBe(20);
        const removed = await attempt(() => removeTable(path.deps, { ...address(), dropTarget: true })).result;
        expect(removed).toMatchObject({ dropped: [`${target()}_current`, `${target()}_floor`, target()], kept: [] });
      },
    );
  });
});

function never(): never {
  throw new Error('the table has no row in the ledger');
}
