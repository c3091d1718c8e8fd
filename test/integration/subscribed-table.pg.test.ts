import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { explainFingerprint } from '../../src/source/catalog/fingerprint-difference.js';
import { freshDatabase, freshName, waitFor } from '../support/stack.js';
import { byText, connectSource, drain, replicate } from '../support/source-table.js';

/** A table that a subscription writes to: the apply worker fires row triggers only. */
describe('a table that a subscription applies changes to', async () => {
  const upstream = await freshDatabase('publisher');
  const address = await freshDatabase('subscriber');
  const name = freshName('sub');
  let publisher: pg.Client;
  let client: pg.Client;
  beforeAll(async () => {
    publisher = await connectSource(upstream);
    client = await connectSource(address);
    for (const each of [publisher, client])
      await each.query(
        `create table copied (id int primary key, v text); create table plain (id int primary key, v text)`,
      );
    await publisher.query(`create publication ${name} for table copied, plain`);
    // It waits for every transaction of the server: one that somebody left open should be the error, not the deadline.
    await publisher.query(`set statement_timeout = '150s'`);
    await publisher.query(`select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  });
  afterAll(async () => {
    // A database with a subscription cannot be dropped, and a slot outlives its subscriber.
    if ((await client.query(`select from pg_subscription where subname = '${name}'`)).rowCount === 1) {
      await client.query(`alter subscription ${name} disable`);
      await client.query(`alter subscription ${name} set (slot_name = none)`);
      await client.query(`drop subscription ${name}`);
    }
    const drop = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${name}'`;
    await waitFor(() => publisher.query(drop), { deadlineMs: 10_000, what: 'the slot to be free' });
    await Promise.all([client.end(), publisher.end()]);
  });

  it('is captured row by row, where statement triggers would see nothing', async () => {
    // This one is added before it is subscribed to: its triggers are those of statements.
    const plain = await replicate(client, { schema: 'public', table: 'plain' });
    const before = await fingerprintTable(client, plain);
    const { host, port, user, password } = upstream;
    await client.query(`create subscription ${name} connection 'host=${host} port=${port} user=${user} password=${password}
      dbname=${upstream.database}' publication ${name} with (create_slot = false, slot_name = '${name}', copy_data = false)`);
    expect(explainFingerprint(before, await fingerprintTable(client, plain))).toMatch(/a subscription now applies/u);

    expect((await inspectTable(client, { schema: 'public', table: 'copied' })).triggerLevel).toBe('row');
    const copied = await replicate(client, { schema: 'public', table: 'copied' });
    for (const table of ['copied', 'plain']) {
      await publisher.query(`insert into ${table} values (1, 'a'), (2, 'b'), (3, 'c')`);
      await publisher.query(`update ${table} set v = 'x' where id = 1`);
      await publisher.query(`update ${table} set id = 4 where id = 2`);
      await publisher.query(`delete from ${table} where id = 3`);
    }
    await waitFor(async () => (await client.query(`select from plain where id = 4`)).rowCount === 1, {
      deadlineMs: 20_000,
      what: 'the subscription to apply the changes',
    });
    const seen = await drain(client, copied);
    expect(seen.map(({ key, value }) => [key, value['_deleted']]).toSorted(byText)).toEqual([
      [[1], 0],
      [[2], 1],
      [[3], 1],
      [[4], 0],
    ]);
    expect(await drain(client, plain)).toEqual([]);

    await publisher.query(`truncate copied`);
    await waitFor(async () => (await client.query(`select from copied`)).rowCount === 0, {
      deadlineMs: 20_000,
      what: 'the TRUNCATE to be applied',
    });
    expect((await drain(client, copied)).map(({ kind }) => kind)).toEqual(['truncate']);
    // The user's own changes fire them as well, once.
    await client.query(`insert into copied values (7, 'own'); update copied set v = 'y'`);
    expect((await drain(client, copied)).map(({ key }) => key)).toEqual([[7]]);
  });
});
