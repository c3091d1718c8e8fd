import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { explainFingerprint } from '../../src/source/catalog/fingerprint-difference.js';
import { freshDatabase, freshName, waitFor } from '../support/stack.js';
import { byText, connectSource, drain, replicate } from '../support/source-table.js';

/** A table that a subscription writes to: the apply worker fires row triggers only, those of REPLICA or ALWAYS. */
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
    if ((await client.query(`select from pg_subscription where subname = '${name}'`)).rowCount === 1)
      await unsubscribe();
    const drop = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${name}'`;
    await waitFor(() => publisher.query(drop), { deadlineMs: 10_000, what: 'the slot to be free' });
    await Promise.all([client.end(), publisher.end()]);
  });

  const subscribe = async (): Promise<void> => {
    const { host, port, user, password } = upstream;
    await client.query(`create subscription ${name} connection 'host=${host} port=${port} user=${user} password=${password}
      dbname=${upstream.database}' publication ${name} with (create_slot = false, slot_name = '${name}', copy_data = false)`);
  };
  const unsubscribe = async (): Promise<void> => {
    await client.query(`alter subscription ${name} disable`);
    await client.query(`alter subscription ${name} set (slot_name = none)`);
    await client.query(`drop subscription ${name}`);
  };
  const applied = (condition: string): Promise<true> =>
    waitFor(async () => (await client.query(condition)).rowCount === 1, {
      deadlineMs: 20_000,
      what: 'the subscription to apply the changes',
    });

  it('is captured row by row, also where the subscription comes and goes unseen', async () => {
    const table = await replicate(client, { schema: 'public', table: 'plain' });
    const before = await fingerprintTable(client, table);
    await client.query(`insert into plain values (5, 'own')`);
    await subscribe();
    await publisher.query(`insert into plain values (1, 'a'), (2, 'b'), (3, 'c')`);
    await publisher.query(`update plain set v = 'x' where id = 1`);
    await publisher.query(`update plain set id = 4 where id = 2`);
    await publisher.query(`delete from plain where id = 3`);
    await applied(`select from plain where id = 4`);
    await unsubscribe();
    expect(explainFingerprint(before, await fingerprintTable(client, table))).toBe('');
    const seen = await drain(client, table);
    expect(seen.map(({ key, value }) => [key, value['_deleted']]).toSorted(byText)).toEqual([
      [[1], 0],
      [[2], 1],
      [[3], 1],
      [[4], 0],
      [[5], 0],
    ]);
  });

  it('gets the marks of an applied TRUNCATE, and what its own sessions change, once', async () => {
    await subscribe();
    const table = await replicate(client, { schema: 'public', table: 'copied' });
    await publisher.query(`insert into copied values (1, 'a')`);
    await publisher.query(`truncate copied`);
    await publisher.query(`insert into copied values (2, 'b')`);
    await applied(`select from copied having count(*) = 1 and max(id) = 2`);
    expect((await drain(client, table)).map(({ kind }) => kind)).toContain('truncate');
    await client.query(`insert into copied values (7, 'own'); update copied set v = 'y' where id = 7`);
    const { rows } = await client.query(`select k1 from pg2click.outbox_${table.id} where k1 = 7`);
    expect(rows).toHaveLength(2);
    await unsubscribe();
  });

  it('is told to whoever has a table of an older release, whose triggers do not see it', async () => {
    const table = await replicate(client, { schema: 'public', table: 'copied' }, { appliedRows: false });
    const before = await fingerprintTable(client, table);
    await subscribe();
    expect(explainFingerprint(before, await fingerprintTable(client, table))).toBe(
      'a subscription now applies changes to it',
    );
    await unsubscribe();
  });

  it('is told to whoever has a table whose triggers a worker of an older release made', async () => {
    const made = await replicate(client, { schema: 'public', table: 'copied' }, { appliedRows: false });
    const capture = { ...made.route.capture, appliedRows: true };
    const table = { ...made, route: { ...made.route, capture } };
    const before = await fingerprintTable(client, table);
    await subscribe();
    expect(explainFingerprint(before, await fingerprintTable(client, table))).toBe(
      'a subscription now applies changes to it',
    );
    await unsubscribe();
  });

  it('leaves in the fingerprint what a worker of an older release looks for', async () => {
    await subscribe();
    const table = await replicate(client, { schema: 'public', table: 'copied' }, { triggerLevel: 'row' });
    expect(JSON.parse(await fingerprintTable(client, table))).toMatchObject({ subscribed: true });
    await unsubscribe();
  });
});
