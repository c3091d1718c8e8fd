import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ReplicatedTable, TableOptions } from '../../src/domain/replicated-table.js';
import type { TableName } from '../../src/domain/table-name.js';
import { findTable } from '../../src/ledger/tables.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';

// Rounds through the Kafka engine take long on a busy machine.
vi.setConfig({ testTimeout: 240_000 });

/** Far longer than a change may take to be seen. */
const IDLE_MS = 20_000;

let path: Path;
let role: string;
beforeAll(async () => {
  path = await openPath();
  role = path.settings.postgres.user;
  await path.source.query(`do $$ begin
    execute format('alter default privileges grant select on sequences to %I', '${role}'); end $$;
    create schema other`);
});
afterAll(() => path.close());

const known = async ({ name }: Followed): Promise<ReplicatedTable | undefined> =>
  findTable(path.ledger, path.settings.pipeline, name);
const called = async (table: Followed): Promise<TableName | undefined> => (await known(table))?.source;
/** The last stage has everything. */
const ids = (table: Followed): Promise<string> =>
  table.sink(`select arrayStringConcat(arraySort(groupArray(toString(id))), ' ') from {current}`);

describe('a table that gets another name in PostgreSQL goes on under the one that it was added with', () => {
  it.each<[string, TableOptions]>([
    ['json', {}],
    ['keys', { payload: 'key' }],
    ['direct', { transport: 'direct' }],
    ['poll', { capture: 'poll', transport: 'kafka' }],
    ['notify', { capture: 'notify' }],
    ['engine', { loader: 'kafka-engine' }],
  ])('%s', async (way, options) => {
    const name = `moved_${way}`;
    const isCopied = options.capture === undefined;
    const insert = (into: string): Promise<unknown> => path.source.query(`insert into ${into} (v) values ('x')`);
    await path.source.query(`create table ${name} (id bigint generated always as identity primary key, v text)`);
    await insert(name);
    const table = await path.add(name, options);
    if (isCopied) await table.copy();
    await insert(name);
    await table.settle();

    // In the outbox or in the topic when the name changes.
    await insert(name);
    if (options.payload === 'key') await table.publish();
    await path.source.query(`alter table ${name} rename to "Moved ${way}"`);
    await insert(`"Moved ${way}"`);
    await table.settle();
    expect(await ids(table)).toBe('1 2 3 4');
    expect(await called(table)).toEqual({ schema: 'public', table: `Moved ${way}` });

    // With a change of the columns at once, which the Kafka engine does not follow.
    const add = way === 'engine' ? '' : `alter table "Moved ${way}" add c int;`;
    await path.source.query(`${add} alter table "Moved ${way}" set schema other`);
    await insert(`other."Moved ${way}"`);
    await table.settle();
    expect(await ids(table)).toBe('1 2 3 4 5');
    expect((await known(table))?.shapes?.at(-1)?.change).toMatch(/^the table was renamed to other\."Moved/u);

    // Back again: nothing is left of it.
    await path.source.query(
      `alter table other."Moved ${way}" set schema public; alter table "Moved ${way}" rename to ${name}`,
    );
    await insert(name);
    await table.settle();
    expect(await ids(table)).toBe('1 2 3 4 5 6');
    expect(await called(table)).toBeUndefined();
    await table.remove(true);
  });

  it('also during its first load, and where a view has its old name', async () => {
    await path.source.query('create table viewed (id int primary key); insert into viewed values (1)');
    const table = await path.add('viewed');
    await path.source.query(
      `alter table viewed rename to "behind"; create view viewed as select * from behind; revoke all on viewed from ${role}`,
    );
    await table.copy();
    await path.source.query('insert into viewed values (2)');
    await table.settle();
    expect(await ids(table)).toBe('1 2');
    await table.remove(true);
  });

  it('of a tree: the root and a leaf', async () => {
    await path.source.query(`create table tree (id int primary key) partition by range (id);
      create table leaf partition of tree for values from (0) to (100); insert into tree values (1)`);
    const table = await path.add('tree');
    await table.copy();
    await path.source.query(`alter table leaf rename to low; insert into tree values (2);
      alter table tree rename to wood; insert into wood values (3);
      create table high partition of wood for values from (100) to (200); insert into wood values (100)`);
    await table.settle();
    await path.source.query('truncate low');
    await table.settle();
    expect(await ids(table)).toBe('100');
    await table.remove(true);
  });
});

it('a table that idles is followed within seconds, and one that got its old name is seen within seconds', async () => {
  await path.source.query('create table idle (id int primary key)');
  const table = await path.add('idle');
  await table.copy();
  await table.settle();
  const publishing = table.publish({}, IDLE_MS);
  await sleep(IDLE_MS / 4);
  await path.source.query('alter table idle rename to idle_old');
  expect(await publishing).toMatchObject({
    shapes: [{ shape: 2, change: 'the table was renamed to public.idle_old' }],
  });

  const swapped = table.publish({}, IDLE_MS);
  const startedAt = Date.now();
  await sleep(IDLE_MS / 4);
  await path.source.query('create table idle (id int primary key)');
  expect(await failureOf(() => swapped)).toMatchObject({ kind: 'MissingTable' });
  expect(Date.now() - startedAt).toBeLessThan((IDLE_MS * 3) / 4);
});

describe('where another table gets its name', () => {
  it('it parks, and each of the printed commands leads out', async () => {
    await path.source.query('create table swap (id int primary key, v text); insert into swap values (1)');
    const table = await path.add('swap', { excluded: ['v'] });
    await table.copy();
    await path.source.query(`begin; alter table swap rename to swap_old; create table swap (id int primary key, v text);
      commit; insert into swap values (7)`);
    const failure = await failureOf(() => table.publish());
    expect(failure).toMatchObject({
      kind: 'MissingTable',
      message: 'public.swap is another table now than the one that was added, which is public.swap_old now.',
      remedy: expect.stringMatching(
        /pg2click remove public\.swap --drop-target, then pg2click add public\.swap .*--exclude-column v.*give public\.swap_old its name back, or the other table another one, then resume/u,
      ) as string,
    });
    expect(await called(table)).toBeUndefined();
    // The one that was added.
    await path.source.query('alter table swap rename to swap_new; insert into swap_old values (2)');
    await table.settle();
    expect(await ids(table)).toBe('1 2');
    // The one that has the name.
    await path.source.query('alter table swap_new rename to swap');
    expect(await failureOf(() => table.publish())).toMatchObject({ kind: 'MissingTable' });
    await table.remove(true);
    const again = await path.add('swap', { excluded: ['v'] });
    await again.copy();
    expect(await ids(again)).toBe('7');
  });

  it('it parks without a look at who may read the other one', async () => {
    await path.source.query('create table guarded (id int primary key)');
    const table = await path.add('guarded');
    await table.copy();
    await path.source.query(`alter table guarded rename to guarded_old; create table guarded (id int primary key);
      revoke all on guarded from ${role}; insert into guarded_old values (1)`);
    expect(await failureOf(() => table.publish())).toMatchObject({ kind: 'MissingTable' });
  });
});

it('a schema that our role may not use parks the table with the grant', async () => {
  await path.source.query(
    `create table closed (id int primary key); create schema secret; revoke all on schema secret from ${role}`,
  );
  const table = await path.add('closed');
  await table.copy();
  await path.source.query('insert into closed values (1); alter table closed set schema secret');
  const failure = await failureOf(() => table.publish());
  expect(failure).toMatchObject({
    kind: 'Unauthorized',
    message: expect.stringContaining('public.closed is secret.closed now') as string,
    remedy: expect.stringContaining(`grant usage on schema "secret" to "${role}"; grant select`) as string,
  });
  await path.source.query(`grant usage on schema secret to ${role}`);
  await table.settle();
  expect(await ids(table)).toBe('1');
});

it('the new name cannot be added beside the old one, which can be added again, and configured', async () => {
  await path.source.query('create table once (id int primary key, _version int); insert into once values (1)');
  const table = await path.add('once', { renamed: { _version: 'revision' } });
  await table.copy();
  await path.source.query('alter table once rename to twice');
  const beside = (): Promise<unknown> => path.add('twice');
  const failure = {
    kind: 'UnsuitableTable',
    message: 'public.twice is replicated already, as public.once: that was its name when it was added.',
    remedy: expect.stringContaining(
      'pg2click remove public.once --drop-target, then pg2click add public.twice --key id --rename-column _version=revision',
    ) as string,
  };
  expect(await failureOf(beside)).toMatchObject(failure);
  // Before anybody has noted the new name.
  expect((await path.add('once')).receipt.id).toBe(table.receipt.id);
  await table.settle();
  expect(await failureOf(beside)).toMatchObject(failure);
  const same = await path.add('once');
  expect(same.receipt.id).toBe(table.receipt.id);
  await table.configure({ transport: 'direct' });
  await path.source.query('insert into twice values (2)');
  await table.settle();
  expect(await ids(table)).toBe('1 2');
});
