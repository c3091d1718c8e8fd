import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changesOf } from '../support/kafka.js';
import { spanOf } from '../support/spans.js';
import { freshName } from '../support/stack.js';
import { openPath, type Path } from '../support/path.js';

/** What a user does to a table, and that ClickHouse then holds the same rows. */
describe('the path', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  it('copies existing rows, then follows inserts, updates, deletes, key changes and rollbacks', async () => {
    const table = freshName('orders');
    await path.source.query(`create table ${table} (id int primary key, name text, price numeric(10,2));
      insert into ${table} select i, 'row ' || i, i / 3.0 from generate_series(1, 2000) i`);
    const orders = await path.add(table);
    expect((await orders.copy()).rows).toBe(2000);
    expect(await orders.expectEqual()).toBe(2000);
    await path.source.query(`update ${table} set name = null where id % 10 = 0`);
    await path.source.query(`delete from ${table} where id % 7 = 0`);
    await path.source.query(`update ${table} set id = id + 100000 where id % 11 = 0`);
    await path.source.query(`insert into ${table}
      values (-1, '', 0), (-2, E'tab\\tnewline\\nbackslash\\\\quote"', 99999999.99)`);
    await path.source.query(`begin; delete from ${table}; rollback`);
    expect(await orders.expectEqual()).toBeGreaterThan(1000);
  });

  it('keeps a table of quoted, mixed-case and 63-byte names with a composite key equal, packed and over 3 partitions', async () => {
    const schema = `My "Schema" ${freshName('s')}`;
    const long = `Größe.of.${'x'.repeat(63 - 11)}`;
    const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
    const table = `${quoted(schema)}.${quoted(long)}`;
    await path.source.query(`create schema ${quoted(schema)};
      create table ${table} ("Region" text, "n" bigint, "select" boolean, seq text, primary key ("Region", "n"));
      insert into ${table} select 'R ' || i % 7, i, i % 2 = 0, null from generate_series(1, 500) i`);
    const followed = await path.add(table, { format: 'packed', target: freshName('Mixed.Case') });
    await followed.copy();
    await path.source.query(`update ${table} set "Region" = 'ü' || "Region", seq = 'moved' where "n" % 3 = 0`);
    await path.source.query(`delete from ${table} where "n" % 5 = 0`);
    expect(await followed.expectEqual()).toBe(400);
  });

  it('shows nothing of what was there before a TRUNCATE, and all that came after it', async () => {
    const table = freshName('emptied');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'old' from generate_series(1, 100) i`);
    const followed = await path.add(table);
    await followed.copy();
    await path.source.query(`update ${table} set v = 'newer' where id <= 50`);
    await path.source.query(
      `begin; truncate ${table}; insert into ${table} values (1, 'after'), (200, 'after'); commit`,
    );
    await path.source.query(`insert into ${table} values (2, 'later')`);
    expect(await followed.expectEqual()).toBe(3);
    await path.source.query(`begin; truncate ${table}; rollback`);
    expect(await followed.expectEqual()).toBe(3);
    await path.source.query(`truncate ${table}`);
    expect(await followed.expectEqual()).toBe(0);
  });

  it("ends with the newest state where a user's trigger updates the row again inside the same statement", async () => {
    const table = freshName('nested');
    await path.source.query(`create table ${table} (id int primary key, v int, touched int not null default 0);
      create function ${table}_touch() returns trigger language plpgsql as $$ begin
        update ${table} set touched = touched + 1 where id = new.id and touched < 3; return null; end $$;
      create trigger touch after insert or update on ${table} for each row execute function ${table}_touch()`);
    const followed = await path.add(table);
    await followed.copy();
    await path.source.query(`insert into ${table} select i, i from generate_series(1, 20) i`);
    await path.source.query(`update ${table} set v = v + 1, touched = 0`);
    expect(await followed.expectEqual()).toBe(20);
    expect(await followed.sink('select min(touched), max(touched) from {current}')).toBe('3\t3');
  });

  it('keeps the newest state of a few keys that many sessions fight over while they are drained', async () => {
    const table = freshName('contended');
    await path.source.query(`create table ${table} (id int primary key, other int unique, v text)`);
    const followed = await path.add(table);
    await followed.copy();
    const statements = [
      (key: number) => `insert into ${table} values (${key}, ${key}, 'in') on conflict (id) do update set v = 'up'`,
      (key: number) => `delete from ${table} where id = ${key}`,
      (key: number) => `insert into ${table} values (${key}, null, 'plain')`,
      (key: number) => `update ${table} set id = id + 4, other = null where id = ${key} % 4`,
      (key: number) => `begin; update ${table} set v = v || '.' where id = ${key}; select pg_sleep(0.003); commit`,
    ];
    let writing = true;
    const sessions = await Promise.all(Array.from({ length: 6 }, () => path.session()));
    const writers = Promise.all(
      sessions.map(async (session, writer) => {
        for (let turn = 0; turn < 200; turn += 1) {
          const statement = statements[(turn * 7 + writer) % statements.length]?.((turn + writer) % 8) ?? '';
          // A duplicate key or a deadlock is part of the fight.
          await session.query(statement).catch(() => session.query('rollback'));
        }
      }),
    ).finally(() => (writing = false));
    while (writing) {
      await followed.publish();
      await followed.load();
    }
    await writers;
    await followed.expectEqual();
    expect(Number(await followed.sink('select count() from {target}'))).toBeGreaterThan(8);
  });

  it('copies beside writers: one that was open when the copy began, and ones that go on meanwhile', async () => {
    const table = freshName('busy');
    await path.source.query(`create table ${table} (id int primary key, v int);
      insert into ${table} select i, 0 from generate_series(1, 3000) i`);
    const followed = await path.add(table);
    const open = await path.session();
    await open.query(`begin; update ${table} set v = 1 where id <= 100; delete from ${table} where id = 3000`);
    const copying = followed.copy();
    for (let turn = 0; turn < 30; turn += 1) {
      await path.source.query(`update ${table} set v = v + 1 where id = ${200 + turn}`);
      await path.source.query(`delete from ${table} where id = ${1000 + turn}`);
    }
    await followed.publish();
    await open.query('commit');
    expect((await copying).rows).toBeGreaterThanOrEqual(2969);
    expect(await followed.expectEqual()).toBe(2969);
  });

  it('hides what an earlier generation of the table left in its target, rows deleted in between included', async () => {
    const table = freshName('again');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'first life' from generate_series(1, 50) i`);
    const first = await path.add(table);
    await first.copy();
    await first.expectEqual();
    await first.remove();
    await path.source.query(`delete from ${table} where id > 40; update ${table} set v = 'changed' where id <= 10`);
    const second = await path.add(table);
    expect(second.receipt.generation).toBeGreaterThan(first.receipt.generation);
    await second.copy();
    expect(await second.expectEqual()).toBe(40);
  });

  it('says that nothing waits where positions were drawn and rolled back', async () => {
    const table = freshName('rolled');
    await path.source.query(`create table ${table} (id int primary key)`);
    const followed = await path.add(table);
    await followed.copy();
    await path.source.query(`insert into ${table} values (1)`);
    await path.source.query(`begin; insert into ${table} select generate_series(2, 100); rollback`);
    await followed.settle();
    expect(await followed.publish()).toMatchObject({ waiting: 0, lagSeconds: 0 });
    expect(await followed.load()).toMatchObject({ waiting: 0, lagSeconds: 0 });
    // The next slice begins with a last position below the last one drawn.
    await path.source.query(`insert into ${table} values (2)`);
    await path.source.query(`begin; insert into ${table} values (3); rollback`);
    while ((await followed.publish()).rows === 0);
    expect(await followed.publish()).toMatchObject({ waiting: 0, lagSeconds: 0 });
  });

  it('passes over what a late publisher of an earlier generation still sends', async () => {
    const table = freshName('late');
    await path.source.query(`create table ${table} (id int primary key, v text)`);
    const first = await path.add(table);
    await first.copy();
    await first.remove();
    const second = await path.add(table);
    const stale = { id: 1, v: 'stale', _version: String(1n << 120n), _deleted: 0 };
    const publisher = await path.deps.publisher();
    await publisher.send(
      {
        topic: second.topic,
        partitions: 1,
        format: 'json',
        origin: (await path.deps.deployment()).id,
        generation: first.receipt.generation,
        shape: 1,
        batch: 1,
      },
      (async function* () {
        const change = {
          kind: 'row' as const,
          key: spanOf('[1]'),
          value: spanOf(JSON.stringify(stale)),
          seq: spanOf('1'),
        };
        yield await Promise.resolve(changesOf(change));
      })(),
    );
    while ((await second.load()).batches === 0);
    // The next slice asks ClickHouse for what was loaded: nothing was.
    await second.load();
    await second.copy();
    expect(await second.expectEqual()).toBe(0);
    await path.source.query(`insert into ${table} values (2, 'new')`);
    expect(await second.expectEqual()).toBe(1);
  });

  it('leaves no trigger, outbox or ledger row behind when a table is removed, and drops the target only if asked', async () => {
    const table = freshName('gone');
    await path.source.query(`create table ${table} (id int primary key)`);
    const followed = await path.add(table);
    await followed.copy();
    await followed.remove();
    await followed.remove();
    const left = await path.source.query<{ triggers: string; outbox: string | null }>(
      `select count(*) as triggers, to_regclass('pg2click.outbox_${followed.receipt.id}')::text as outbox
        from pg_trigger where tgrelid = '${table}'::regclass`,
    );
    expect(left.rows[0]).toEqual({ triggers: '0', outbox: null });
    expect(await followed.sink('select count() from {current}')).toBe('0');
    const again = await path.add(table);
    await again.remove(true);
    await expect(again.sink('select count() from {target}')).rejects.toMatchObject({ type: 'UNKNOWN_TABLE' });
  });

  it('refuses a second table on the same topic or target', async () => {
    const [one, two] = [freshName('one'), freshName('two')];
    await path.source.query(`create table ${one} (id int primary key); create table ${two} (id int primary key)`);
    const first = await path.add(one);
    await expect(path.add(two, { topic: first.topic })).rejects.toMatchObject({ kind: 'TargetTaken' });
    await expect(path.add(two, { target: one })).rejects.toMatchObject({ kind: 'TargetTaken' });
    await expect(path.add(two, { target: `${one}_current` })).rejects.toMatchObject({ kind: 'TargetTaken' });
  });
});
