import { setMaxListeners } from 'node:events';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPostgres } from '../../src/connect/postgres.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { readOutboxSequence } from '../../src/source/outbox/sequence.js';
import { OutboxWatch, type Watched } from '../../src/source/outbox/watch.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { freshDatabase, readerRoleOf, waitFor, type PostgresAddress } from '../support/stack.js';
import { connectSource, replicate, settingsOf } from '../support/source-table.js';

const never = (): AbortSignal => new AbortController().signal;

/** Noticing changes in many outboxes: over one connection, quickly, and one table's trouble is not the others'. */
describe('the watch', async () => {
  const address = await freshDatabase('watch');
  let client: pg.Client;
  let writer: pg.Client;
  let table: ReplicatedTable;
  const watches: OutboxWatch[] = [];
  const open = (to: PostgresAddress = address): OutboxWatch => {
    const watch = new OutboxWatch(() => connectPostgres(settingsOf(to), { name: 'watch' }));
    watches.push(watch);
    return watch;
  };
  beforeAll(async () => {
    client = await connectSource(address);
    writer = await connectSource(address);
    await client.query(`create table t (id int primary key); create table counted (id int primary key)`);
    table = await replicate(client, { schema: 'public', table: 't' });
  });
  afterEach(() => Promise.all(watches.splice(0).map((watch) => watch.close())));
  afterAll(() => Promise.all([client.end(), writer.end()]));

  const sequenceOf = async ({ id }: ReplicatedTable): Promise<Watched> => {
    const { oid, last } = await readOutboxSequence(client, id);
    return { sequence: oid, seen: last };
  };
  const makeTables = async (prefix: string, many: number): Promise<ReplicatedTable[]> => {
    const replicas: ReplicatedTable[] = [];
    for (let i = 0; i < many; i += 1) {
      await client.query(`create table ${prefix}_${i} (id int primary key)`);
      replicas.push(await replicate(client, { schema: 'public', table: `${prefix}_${i}` }));
    }
    return replicas;
  };
  const sessions = async (): Promise<number> =>
    (
      await client.query(`select from pg_stat_activity where application_name = 'pg2click watch'
      and datname = current_database()`)
    ).rowCount ?? 0;

  it('says no when its time is over, or its signal aborted', async () => {
    const watch = open();
    const watched = await sequenceOf(table);
    expect(await watch.wait(watched, { signal: never(), timeoutMs: 20 })).toBe(false);
    expect(await watch.wait(watched, { signal: AbortSignal.timeout(20) })).toBe(false);
  });

  it('tells of a position as soon as it is drawn, committed or not, and of none that was known', async () => {
    const watch = open();
    const before = await sequenceOf(table);
    const waiting = watch.wait(before, { signal: never() });
    await writer.query(`begin; insert into t values (1)`);
    expect(await waiting).toBe(true);
    await writer.query('commit');
    expect(await watch.wait(await sequenceOf(table), { signal: never(), timeoutMs: 50 })).toBe(false);
  });

  it('tells of a sequence that was set back, before it gives old positions again', async () => {
    const watch = open();
    const counted = await replicate(client, { schema: 'public', table: 'counted' });
    await writer.query(`insert into counted select generate_series(1, 10)`);
    const waiting = watch.wait(await sequenceOf(counted), { signal: never() });
    await writer.query(`alter table pg2click.outbox_${counted.id} alter seq restart with 1`);
    expect(await waiting).toBe(true);
  });

  it('notices a change within a second, also when it has long been idle', async () => {
    const watch = open();
    const watched = await sequenceOf(table);
    await watch.wait(watched, { signal: never(), timeoutMs: 1_000 });
    const waiting = watch.wait(watched, { signal: never() });
    const startedAt = performance.now();
    await writer.query(`insert into t values (2)`);
    await waiting;
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('serves 200 outboxes over one connection, and wakes those that moved', async () => {
    const replicas = await makeTables('many', 200);
    const watch = open();
    const watched: Watched[] = [];
    for (const each of replicas) watched.push(await sequenceOf(each));
    const woken: number[] = [];
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const waiting = watched.map(async (each, place) => {
      if (await watch.wait(each, { signal: stop.signal })) woken.push(place);
    });
    await waitFor(async () => (await sessions()) === 1, { deadlineMs: 5_000, what: 'its session' });
    await writer.query(`insert into many_17 values (1); insert into many_199 values (1)`);
    await waitFor(() => woken.length === 2, { deadlineMs: 5_000, what: 'two tables that wake' });
    expect(woken.toSorted((a, b) => a - b)).toEqual([17, 199]);
    expect(await sessions()).toBe(1);
    stop.abort();
    await Promise.all(waiting);
    expect(woken).toHaveLength(2);
  });

  it('fails one whose outbox is gone, and goes on for the others', async () => {
    const [gone, stays] = await makeTables('gone', 2);
    if (gone === undefined || stays === undefined) throw new Error('two tables were made');
    const watch = open();
    const lost = watch.wait(await sequenceOf(gone), { signal: never() });
    const kept = watch.wait(await sequenceOf(stays), { signal: never() });
    const failed = expect(lost).rejects.toMatchObject({ name: 'Failure' });
    await client.query(`drop table gone_0; drop table pg2click.outbox_${gone.id}`);
    await failed;
    await writer.query(`insert into gone_1 values (1)`);
    expect(await kept).toBe(true);
  });

  it('fails one whose sequence it may not read, and goes on for the others', async () => {
    const [secret, open1] = await makeTables('secret', 2);
    if (secret === undefined || open1 === undefined) throw new Error('two tables were made');
    const role = readerRoleOf(address.database);
    await client.query(/* sql */ `create role ${role} login password 'reader'; grant usage on schema pg2click to ${role};
      grant select on sequence pg2click.outbox_${open1.id}_seq_seq to ${role}`);
    await writer.query(`insert into secret_0 values (1)`);
    const watch = open({ ...address, user: role, password: 'reader' });
    const refused = watch.wait(await sequenceOf(secret), { signal: never() });
    const kept = watch.wait(await sequenceOf(open1), { signal: never() });
    await expect(refused).rejects.toMatchObject({ kind: 'Unauthorized' });
    const reader = await connectSource({ ...address, user: role, password: 'reader' });
    await expect(readOutboxSequence(reader, secret.id)).rejects.toMatchObject({ kind: 'Unauthorized' });
    await reader.end();
    await writer.query(`insert into secret_1 values (1)`);
    expect(await kept).toBe(true);
  });

  it('hands nobody a refused login, which would park every table: it passes by itself', async () => {
    const watch = open({ ...address, password: 'wrong' });
    const waits = [1, 2].map(async () => watch.wait(await sequenceOf(table), { signal: never() }));
    for (const wait of waits) await expect(wait).rejects.toMatchObject({ kind: 'LoginRefused' });
  });

  it('is not held up by a long transaction, nor by rows that nobody can see', async () => {
    const [open1, other] = await makeTables('held', 2);
    if (open1 === undefined || other === undefined) throw new Error('two tables were made');
    const watch = open();
    await writer.query(`begin; insert into held_0 select generate_series(1, 20000)`);
    const waiting = watch.wait(await sequenceOf(other), { signal: never(), timeoutMs: 10_000 });
    await client.query(`insert into held_1 values (1)`);
    expect(await waiting).toBe(true);
    await writer.query('rollback');
  });

  it('fails all who wait when PostgreSQL goes away, and serves whoever comes when it is back', async () => {
    const { stack } = await ownStack(ownStateDir(), ['postgres']);
    const own = stack.addresses.postgres;
    const before = await connectSource(own);
    await before.query(`create table t (id int primary key)`);
    const its = await replicate(before, { schema: 'public', table: 't' });
    const { oid, last } = await readOutboxSequence(before, its.id);
    const watch = open(own);
    const waits = [1, 2, 3].map(() => watch.wait({ sequence: oid, seen: last }, { signal: never() }));
    const failed = Promise.all(waits.map((wait) => expect(wait).rejects.toMatchObject({ kind: 'SourceUnavailable' })));
    await before.end();
    await stack.restart('postgres');
    await failed;
    const after = await connectSource(own);
    const now = await readOutboxSequence(after, its.id);
    const waiting = watch.wait({ sequence: now.oid, seen: now.last }, { signal: never() });
    await after.query(`insert into t values (1)`);
    expect(await waiting).toBe(true);
    await after.end();
  });
});
