import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { drainSql } from '../../src/source/outbox/drain-sql.js';
import { LOOK_UP_BY_INDEX } from '../../src/source/session.js';
import { textOf } from '../support/spans.js';
import { freshDatabase, freshName, waitFor } from '../support/stack.js';
import { connectSource, drain, nameBatch, readAll, replicate } from '../support/source-table.js';

/** What is read for a named batch, and what becomes of the reading when something is in the way. */
describe('reading a named batch', async () => {
  const address = await freshDatabase('drain');
  const clients: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = await connectSource(address);
    clients.push(client);
    return client;
  };
  let client: pg.Client;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(() => Promise.all(clients.map((each) => each.end())));

  const make = async (columns = 'id int primary key, v text'): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create table ${table} (${columns})`);
    return [table, await replicate(client, { schema: 'public', table })];
  };
  const name = async (table: ReplicatedTable): Promise<OutboxBatch> => (await nameBatch(client, table)) as OutboxBatch;
  const keys = (seen: readonly { key: unknown }[]): unknown[] => seen.map(({ key }) => key);

  it('reads what the snapshot of the name sees, also when more was committed since', async () => {
    const [t, table] = await make();
    const late = await connect();
    await late.query('begin');
    await late.query(`insert into ${t} values (1, 'late')`);
    await client.query(`insert into ${t} values (2, 'a'), (3, 'b')`);
    await client.query(`begin; savepoint s; insert into ${t} values (4, 'c'); release s; commit`);
    await late.query(`savepoint s`);
    await late.query(`insert into ${t} values (5, 'late')`);
    await late.query(`release s`);
    await client.query(`insert into ${t} values (6, 'd')`);
    const batch = await name(table);
    await late.query('commit');
    const { seen, events } = await readAll(client, table, batch);
    expect(keys(seen)).toEqual([[2], [3], [4], [6]]);
    expect(events).toBe(4);
    expect(keys(await drain(client, table))).toHaveLength(6);
  });

  it('counts every outbox row, marks and repeated keys too', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} values (1, 'a')`);
    await client.query(`update ${t} set v = 'b'`);
    await client.query(`update ${t} set id = 2`);
    await client.query(`truncate ${t}; truncate ${t}`);
    const { seen, events } = await readAll(client, table, await name(table));
    expect(seen).toHaveLength(3);
    expect(events).toBe(6);
  });

  it('finds the newest row under the old name when it is read again', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} values (1, 'a')`);
    const batch = await name(table);
    await client.query(`update ${t} set v = 'b'`);
    const { seen } = await readAll(client, table, batch);
    expect(seen.map(({ value, seq }) => [value['v'], seq])).toEqual([['b', 1n]]);
  });

  it('gives about as much at a time as it gets, and cuts no row', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} select i, repeat('\\"tab' || chr(9), i % 50) from generate_series(1, 2500) i`);
    await client.query(`insert into ${t} select -i, repeat('€x', 100000) from generate_series(1, 8) i`);
    const reading = readBatch(client, table, await name(table), { signal: new AbortController().signal });
    let rows = 0;
    let largest = 0;
    for await (const changes of reading.changes) {
      largest = Math.max(largest, changes.text.length);
      for (const { key, value } of changes) {
        const row = JSON.parse(textOf(value)) as { id: number; v: string };
        expect(textOf(key)).toBe(`[${row.id}]`);
        expect(row.v).toBe(row.id < 0 ? '€x'.repeat(100_000) : '\\"tab\t'.repeat(row.id % 50));
        rows += 1;
      }
    }
    expect(rows).toBe(2_508);
    expect(reading.events()).toBe(2_508);
    expect(largest).toBeLessThan(1_000_000);
  });

  it('gives up a row of more than 100 MB before it holds it', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} select 1, repeat('x', 101000000)`);
    const own = await connectSource(address);
    const reading = readBatch(own, table, await name(table), { signal: new AbortController().signal });
    const failure = await reading.changes[Symbol.asyncIterator]()
      .next()
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: 'Failure', kind: 'MessageTooLarge', message: expect.stringContaining(t) });
    expect((failure as Error).message).not.toContain('xxx');
    await own.end();
  });

  it('writes the same text whatever the session is set to', async () => {
    const [t, table] = await make(
      'id timestamptz primary key, at timestamp, d date, f double precision, r real, n numeric(9,2)',
    );
    await client.query(
      `insert into ${t} values ('2024-07-01 02:30:00+02', '2024-02-29 01:02:03', '2024-12-31', 0.30000000000000004, 0.1, 1.5)`,
    );
    const batch = await name(table);
    const odd = await connect();
    await odd.query(`set timezone = 'Asia/Tokyo'; set datestyle = 'German, DMY'; set extra_float_digits = -10;
      set statement_timeout = 1; set default_transaction_isolation = serializable; set default_transaction_read_only = on`);
    const { seen } = await readAll(odd, table, batch);
    expect(seen[0]?.key).toEqual(['2024-07-01 00:30:00+00']);
    expect(seen[0]?.value).toMatchObject({
      id: '2024-07-01 00:30:00+00',
      at: '2024-02-29 01:02:03',
      d: '2024-12-31',
      f: 0.30000000000000004,
      r: 0.1,
      n: '1.50',
    });
  });

  // Rows that a policy hides would arrive as tombstones.
  it('fails where row-level security would hide rows', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} values (1, 'a')`);
    const role = freshName('blind');
    await client.query(`create role ${role}; grant select on ${t} to ${role}; grant usage on schema pg2click to ${role};
      grant select on pg2click.outbox_${table.id} to ${role};
      alter table ${t} enable row level security; create policy none on ${t} using (false)`);
    const blind = await connect();
    await blind.query(`set role ${role}; set row_security = on`);
    await expect(readAll(blind, table, await name(table))).rejects.toMatchObject({ kind: 'Unauthorized' });
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });

  it.each(['json', 'text'] as const)(
    'looks every key up in the index, whatever the statistics say: %s',
    async (rows) => {
      await client.query(
        `create collation if not exists ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      );
      for (const type of ['int', 'text', 'text collate ci', 'text collate "C"', 'varchar(9)', 'numeric(9,1)', 'uuid']) {
        const [t, table] = await make(`id ${type} primary key, v text`);
        const value = type === 'uuid' ? `md5(i::text)::uuid` : type === 'int' ? 'i' : 'i::text';
        await client.query(
          `insert into ${t} select (${value})::${type}, 'x' from generate_series(1, 300) i; analyze ${t}`,
        );
        await client.query(`analyze pg2click.outbox_${table.id}`);
        const select = drainSql(table, await name(table), { rows, key: true, hasLoose: true })
          .replace(/^\s*copy \(/u, '')
          .replace(/\) to stdout.*$/su, '');
        const explain = async (settings: string): Promise<string> => {
          await client.query(`begin; ${settings}`);
          const plan = await client.query<{ 'QUERY PLAN': string }>(`explain ${select}`);
          await client.query('rollback');
          return plan.rows.map((row) => row['QUERY PLAN']).join('\n');
        };
        expect(await explain('')).toMatch(/Seq Scan/u);
        const steered = await explain(LOOK_UP_BY_INDEX);
        expect(steered).not.toMatch(/Seq Scan|Hash Join|Merge Join|Parallel/u);
        expect(steered).toMatch(new RegExp(`Index Scan using ${t}_pkey.*\n +Index Cond: .*=`, 'u'));
      }
    },
  );

  it('ends with the reason of the signal, and its connection can still be closed', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} select i, repeat('x', 10000) from generate_series(1, 5000) i`);
    const own = await connectSource(address);
    const controller = new AbortController();
    const reading = readBatch(own, table, await name(table), { signal: controller.signal });
    const reason = new Error('enough');
    const read = async (): Promise<void> => {
      for await (const changes of reading.changes) if (changes.length > 0) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    expect(() => reading.events()).toThrow(/when all its changes were read/u);
    await own.end();
  });

  it('leaves nothing hanging when its reader stops early', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} select i, repeat('x', 10000) from generate_series(1, 5000) i`);
    const own = await connectSource(address);
    const pid = await pidOf(own);
    const reading = readBatch(own, table, await name(table), { signal: new AbortController().signal });
    for await (const changes of reading.changes) if (changes.length > 0) break;
    await own.end();
    await waitFor(async () => (await client.query(`select from pg_stat_activity where pid = ${pid}`)).rowCount === 0, {
      deadlineMs: 5_000,
      what: 'the end of the session',
    });
  });

  it('fails, and says so, when the connection breaks in the middle', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} select i, repeat('x', 10000) from generate_series(1, 5000) i`);
    const own = await connectSource(address);
    const pid = await pidOf(own);
    const reading = readBatch(own, table, await name(table), { signal: new AbortController().signal });
    const read = async (): Promise<void> => {
      for await (const changes of reading.changes)
        if (changes.length > 0) await client.query(`select pg_terminate_backend($1)`, [pid]);
    };
    await expect(read()).rejects.toMatchObject({ name: 'Failure', kind: 'SourceUnavailable' });
    expect(() => reading.events()).toThrow(/when all its changes were read/u);
    await own.end();
  });

  it('waits for a lock no longer than 5 seconds, and says what is gone', async () => {
    const [t, table] = await make();
    await client.query(`insert into ${t} values (1, 'a')`);
    const batch = await name(table);
    const holder = await connect();
    await holder.query(`begin; lock table ${t}`);
    const began = Date.now();
    await expect(readAll(await connect(), table, batch)).rejects.toMatchObject({ kind: 'LockTimeout' });
    expect(Date.now() - began).toBeLessThan(20_000);
    await holder.query(`drop table ${t}; commit`);
    await expect(readAll(await connect(), table, batch)).rejects.toMatchObject({ kind: 'MissingTable' });
  });
});

async function pidOf(client: pg.Client): Promise<number | undefined> {
  return (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
}
