import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPreparedTable } from '../../activities/find-prepared-table.js';
import { followShape } from '../../src/source/follow-shape.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import { WalReaders } from '../../src/source/wal/reader.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

let path: Path;
const opened: WalReaders[] = [];
beforeAll(async () => {
  path = await openPath({ wal: true });
  await path.source.query('create table first (id int primary key)');
  await path.add('first', { capture: 'wal', transport: 'direct' });
  await path.deps.wal.close();
});
afterAll(async () => {
  for (const each of opened) await each.close();
  await path.close();
});

/** The worker reads the slot from here on, or is behind. */
async function reader(isReading: boolean): Promise<WalReaders> {
  await path.deps.wal.close();
  const wal = new WalReaders({
    source: path.deps.source,
    slots: path.deps.source,
    connect: (name, options) => connectPostgres(path.settings, { name, ...options }),
    onFailure: () => undefined,
    onWarning: () => undefined,
  });
  opened.push(wal);
  if (!isReading) {
    for (const { slot } of (await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader')).rows)
      wal.of(slot);
    await wal.close();
  }
  Object.assign(path.deps, { wal });
  return wal;
}

describe('rows that waited in the WAL are those of the table', () => {
  it.each([
    {
      what: 'values were computed anew under the same type',
      alter: 'alter table T alter v type text using upper(v)',
    },
    { what: 'an enum label got another name', alter: `alter type MOOD rename value 'sad' to 'blue'` },
    {
      what: 'names were swapped, and swapped back',
      alter: `alter table T rename v to x; alter table T rename w to v; alter table T rename x to w;
      update T set v = 'new v', w = 'new w' where id = 2;
      alter table T rename v to x; alter table T rename w to v; alter table T rename x to w`,
    },
    {
      what: 'a new column had the name of another for a while',
      alter: `alter table T rename v to old; alter table T add v text;
      update T set v = 'new v' where id = 2;
      alter table T drop v; alter table T rename old to v`,
    },
  ])('after $what', async ({ alter }) => {
    await reader(true);
    const name = freshName('behind');
    const of = (sql: string): string => sql.replaceAll('MOOD', `${name}_mood`).replaceAll(/\bT\b/gu, name);
    await path.source.query(
      of(`create type MOOD as enum ('fine', 'sad');
    create table T (id int primary key, v text, w text, m MOOD);
    insert into T select g, 'v' || g, 'w' || g, 'fine' from generate_series(1, 3) g`),
    );
    const table = await path.add(name, { capture: 'wal', transport: 'direct' });
    await table.copy();
    await table.settle();
    expect(await table.expectEqual()).toBe(3);

    await reader(false);
    await path.source.query(of(`update T set v = 'abc', m = 'sad' where id = 1`));
    for (const statement of of(alter).split(';')) await path.source.query(statement);
    const receipt = await table.direct({}, 1_000);
    if (receipt.copyAgain === true) await table.copy();

    await reader(true);
    await table.direct({}, 3_000);
    expect(await table.expectEqual()).toBe(3);
  });

  it('or the table parks, where the identity had other columns while a key changed', async () => {
    await reader(true);
    const name = freshName('identity');
    await path.source.query(`create table ${name} (id int primary key, a int not null, b int not null, unique (a, b));
    insert into ${name} select g, g, g from generate_series(1, 3) g`);
    const table = await path.add(name, { capture: 'wal', transport: 'direct' });
    await table.copy();
    await table.settle();
    await reader(false);
    for (const statement of [
      `alter table ${name} replica identity using index ${name}_a_b_key`,
      `update ${name} set id = 20 where id = 2`,
      `alter table ${name} replica identity default`,
    ])
      await path.source.query(statement);
    await reader(true);
    const moving = (async () => {
      await table.direct({}, 3_000);
      await table.settle();
    })();
    await expect(moving).rejects.toThrow('while their keys were unknown');
  });

  it('where another stage notes a change of the columns while they wait for a busy one', async () => {
    await reader(true);
    const name = freshName('busy');
    await path.source.query(
      `create table ${name} (id int primary key, v text); insert into ${name} values (1, 'a'), (2, 'b')`,
    );
    const table = await path.add(name, { capture: 'wal', transport: 'direct' });
    await table.copy();
    await table.settle();
    // A busy stage does not look.
    const polls = { shapes: { get: () => Promise.resolve(undefined) }, columns: { get: () => Promise.resolve('') } };
    const moving = table.direct({ polls } as never, 9_000);
    await sleep(500);
    await path.source.query(`update ${name} set v = 'warm' where id = 2`);
    await sleep(2_500);
    const holder = await path.session();
    // The reader is held up: by an offer to another table, or by a standby.
    await holder.query('begin; select from pg2click.wal_reader for update');
    await path.source.query(`update ${name} set v = 'abc' where id = 1`);
    await sleep(500);
    await path.source.query(`alter table ${name} alter v type text using upper(v)`);
    // As a copy of it, or a loader by key, does.
    const { ledger } = path.deps;
    const known = await findPreparedTable(
      ledger,
      { pipeline: path.settings.pipeline, ...table.name },
      await path.deps.deployment(),
    );
    const pg = await connectPostgres(path.settings, { name: 'follow' });
    await followShape(pg, ledger, known);
    await pg.end();
    await table.copy();
    await holder.query('commit');
    // Its name is refused: a copy has a higher position by now.
    await moving.catch(() => undefined);
    expect(await table.expectEqual()).toBe(2);
  });

  it('where ClickHouse refuses one, and those of the same keys behind it are good', async () => {
    await reader(true);
    const name = freshName('refused');
    await path.source.query(
      `create table ${name} (id int primary key, v text); insert into ${name} values (1, '1'), (2, '2')`,
    );
    const table = await path.add(name, { capture: 'wal', transport: 'direct' });
    await table.copy();
    await table.settle();
    const moving = table.direct({}, 6_000);
    await sleep(500);
    await path.source.query(`update ${name} set v = '3' where id = 2`);
    await sleep(2_000);
    await path.deps.clickhouse.command({
      query: `alter table ${table.receipt.target} modify column v Nullable(UInt8)`,
    });
    await path.source
      .query(`begin; update ${name} set v = 'bad' where id in (1, 2); update ${name} set v = '7' where id = 1;
    delete from ${name} where id = 2; commit`);
    // Both are closed: what came behind them is newer.
    expect((await moving).quarantined).toBe(0);
    const kept = await path.ledger.query('select state from pg2click.quarantine');
    expect(kept.rows.map(({ state }: { state: string }) => state)).not.toContain('open');
    expect(kept.rowCount).toBe(2);
    await path.deps.clickhouse.command({
      query: `alter table ${table.receipt.target} modify column v Nullable(String)`,
    });
    await table.settle();
    expect(await table.sink('select groupArray((id, v)) from {current}')).toBe("[(1,'7')]");
  });
});
