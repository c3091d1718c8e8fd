import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { allocatePosition, settle } from '../../src/source/settle.js';
import { freshDatabase, freshName, waitFor } from '../support/stack.js';
import { connectSource, drain, replicate } from '../support/source-table.js';

/** The hand-over from a copy to the live flow: its position, and who is waited for. */
describe('a copy', async () => {
  const address = await freshDatabase('settle');
  const clients: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = await connectSource(address);
    clients.push(client);
    return client;
  };
  let client: pg.Client;
  let writer: pg.Client;
  beforeAll(async () => {
    client = await connect();
    writer = await connect();
  });
  afterAll(async () => {
    // A prepared transaction outlives everything, also the test that failed between its two halves.
    const left = await client.query<{ gid: string }>(
      `select gid from pg_prepared_xacts where database = current_database()`,
    );
    for (const { gid } of left.rows) await client.query(`rollback prepared '${gid}'`);
    await Promise.all(clients.map((each) => each.end()));
  });

  const make = async (): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create table ${table} (id int primary key, v text)`);
    return [table, await replicate(client, { schema: 'public', table })];
  };

  /** Starts to settle and tells how many it waits for. */
  const begin = (table: ReplicatedTable): { holders: () => number; done: () => boolean; end: Promise<void> } => {
    let holders = 0;
    let done = false;
    const end = settle(client, table.relation, {
      signal: AbortSignal.timeout(30_000),
      onWait: (count) => (holders = count),
    }).then(() => {
      done = true;
    });
    return { holders: () => holders, done: () => done, end };
  };
  const until = (settling: { holders: () => number }, count: number): Promise<unknown> =>
    waitFor(() => settling.holders() === count, { deadlineMs: 5_000, what: `${count} writers to wait for` });

  // A virgin identity shows 1, which the first event gets too: the copied row would win the tie.
  it('has a position below every later event and of its own, also in an outbox that nothing was written to', async () => {
    const [t, table] = await make();
    const first = BigInt(await allocatePosition(client, table.id));
    const second = BigInt(await allocatePosition(client, table.id));
    await client.query(`insert into ${t} values (1, 'a')`);
    const [event] = await drain(client, table);
    expect(second).toBeGreaterThan(first);
    expect(event?.seq).toBeGreaterThan(second);
  });

  it('does not wait where nobody writes, nor for readers', async () => {
    const [t, table] = await make();
    await writer.query(`begin; select * from ${t}; select * from ${t} for share`).catch(() => undefined);
    await writer.query(`rollback; begin; select * from ${t}`);
    await settle(client, table.relation, { signal: AbortSignal.timeout(2_000) });
    await writer.query('commit');
  });

  it('does not wait for VACUUM and its like, which change no row and may take hours', async () => {
    const [t, table] = await make();
    await writer.query(`begin; lock table ${t} in share update exclusive mode`);
    await settle(client, table.relation, { signal: AbortSignal.timeout(2_000) });
    await writer.query('commit');
  });

  it('does not wait for itself', async () => {
    const [t, table] = await make();
    await client.query(`begin; insert into ${t} values (1, 'a')`);
    await settle(client, table.relation, { signal: AbortSignal.timeout(2_000) });
    await client.query('commit');
  });

  for (const statement of [
    'insert into T values (1)',
    'truncate T',
    'lock table T in exclusive mode',
    'alter table T add x int',
  ]) {
    it(`waits for a transaction that did: ${statement}`, async () => {
      const [t, table] = await make();
      await writer.query(`begin; ${statement.replace('T', t)}`);
      const settling = begin(table);
      await until(settling, 1);
      expect(settling.done()).toBe(false);
      await writer.query('commit');
      await settling.end;
    });
  }

  it('does not wait for who came later', async () => {
    const [t, table] = await make();
    await writer.query(`begin; insert into ${t} values (1)`);
    const settling = begin(table);
    await until(settling, 1);
    const later = await connect();
    await later.query(`begin; insert into ${t} values (2)`);
    await writer.query('commit');
    await settling.end;
    await later.query('commit');
  });

  // It has no process, and of its locks only those of relations remain.
  it('waits for a prepared transaction, also when it is prepared meanwhile', async () => {
    const [t, table] = await make();
    const [early, meanwhile] = [freshName('gid'), freshName('gid')];
    await writer.query(`begin; insert into ${t} values (1)`);
    await writer.query(`prepare transaction '${early}'`);
    await writer.query(`begin; insert into ${t} values (2)`);
    const settling = begin(table);
    await until(settling, 2);
    await writer.query(`prepare transaction '${meanwhile}'`);
    await writer.query(`commit prepared '${early}'`);
    await until(settling, 1);
    expect(settling.done()).toBe(false);
    await writer.query(`commit prepared '${meanwhile}'`);
    await settling.end;
  });

  it('waits for writers of the children too', async () => {
    const [t, table] = await make();
    await client.query(`create table ${t}_child (primary key (id)) inherits (${t})`);
    await writer.query(`begin; insert into ${t}_child values (1)`);
    const settling = begin(table);
    await until(settling, 1);
    await writer.query('commit');
    await settling.end;
  });

  it('stops waiting with the reason of the signal', async () => {
    const [t, table] = await make();
    await writer.query(`begin; insert into ${t} values (1)`);
    const controller = new AbortController();
    const reason = new Error('enough');
    const settled = settle(client, table.relation, {
      signal: controller.signal,
      onWait: () => controller.abort(reason),
    });
    await expect(settled).rejects.toBe(reason);
    await writer.query('commit');
  });
});
