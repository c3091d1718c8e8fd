import { text as readText } from 'node:stream/consumers';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quotePg } from '../../src/domain/identifier.js';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { streamBatch } from '../../src/source/outbox/stream.js';
import { BEGIN_READING } from '../../src/source/session.js';
import { ChangeCollector } from '../../src/source/wal/change-collector.js';
import type { PendingChanges } from '../../src/source/wal/pending-changes.js';
import { PgOutput } from '../../src/source/wal/pgoutput.js';
import { HandOver } from '../../src/source/wal/rows/hand-over.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';
import { rowChanges } from '../../src/source/wal/rows/row-changes.js';
import { rowLines } from '../../src/source/wal/rows/row-lines.js';
import { planRows, type CatalogColumn } from '../../src/source/wal/rows/row-plan.js';
import type { TupleBatch } from '../../src/source/wal/rows/tuple-batch.js';
import { formOf } from '../../src/source/wal/rows/value-form.js';
import { textOf } from '../support/spans.js';
import { connectSource, nameBatch, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { MAKE_TYPES, OUTSIDE, VALUES } from '../support/type-values.js';

const SIGNAL = AbortSignal.timeout(60_000);

/** Rows that are made of PostgreSQL's stream are those that it makes itself, byte for byte. */
describe('rows of the stream', async () => {
  const address = await freshDatabase('wal_rows');
  const slot = freshName('slot');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(MAKE_TYPES);
    await client.query(`create publication ${slot} for tables in schema public`);
    await client.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  });
  afterAll(async () => {
    await client.query(`select pg_drop_replication_slot('${slot}')`);
    await client.end();
  });

  const make = async (columns: string): Promise<{ source: string; table: ReplicatedTable }> => {
    const source = freshName('t');
    await client.query(`create table ${source} (${columns})`);
    return { source, table: await replicate(client, { schema: 'public', table: source }) };
  };

  /** What the reader takes of the changes since the last call. */
  async function take(table: ReplicatedTable): Promise<PendingChanges> {
    const catalog = await client.query<CatalogColumn>(
      `select attname::text as name, attnum::int as position, atttypid::bigint::float8 as type, atttypmod as modifier
       from pg_attribute where attrelid = ${table.relation} and attnum > 0 and not attisdropped`,
    );
    const plan = planRows(table, catalog.rows);
    if (plan === undefined) throw new Error('the rows of this table are not taken');
    const handOvers = new HandOvers();
    handOvers.attach(new HandOver(table.id, plan, 0n, { until: 0n, relation: 1 }));
    const collector = new ChangeCollector({
      position: 0n,
      handOvers,
      find: ({ oid, columns }) =>
        Promise.resolve(
          String(oid) === table.relation
            ? {
                id: table.id,
                columns: table.key.length,
                places: table.key.map((key) => columns.findIndex(({ name }) => name === key)),
              }
            : undefined,
        ),
      onCommit: () => undefined,
      onKeys: () => undefined,
    });
    await client.query(BEGIN_READING);
    const found = await client.query<{ data: Buffer }>(
      `select data from pg_logical_slot_get_binary_changes('${slot}', null, null, 'proto_version', '1', 'publication_names', '${slot}')`,
    );
    await client.query('commit');
    const output = new PgOutput(collector);
    for (const { data } of found.rows) await output.take(data, 0);
    return collector.take();
  }

  const rowsOf = (pending: PendingChanges): TupleBatch => {
    const [batch] = pending.rows.values();
    if (batch === undefined) throw new Error('no row was taken');
    return batch;
  };

  /** Of the outbox, whose events have the positions 1 and on. */
  async function drain(table: ReplicatedTable): Promise<Record<'json' | 'text' | 'lines', string[]>> {
    const batch = (await nameBatch(client, table)) as OutboxBatch;
    const changes = async (rows: 'json' | 'text'): Promise<string[]> => {
      const lines: string[] = [];
      for await (const some of readBatch(client, table, batch, { signal: SIGNAL, rows }).changes)
        for (const { seq, key, value } of some) lines.push(`${textOf(seq)} ${textOf(key)} ${textOf(value)}`);
      return lines;
    };
    const [json, text] = [await changes('json'), await changes('text')];
    const { rows } = await streamBatch(client, table, batch, {
      signal: SIGNAL,
      ensureFlushed: () => Promise.resolve(),
    });
    const lines = (await readText(rows)).split('\n');
    await client.query('commit');
    return { json, text, lines };
  }

  async function write(batch: TupleBatch): Promise<Record<'json' | 'text' | 'lines', string[]>> {
    const changes = async (rows: 'json' | 'text'): Promise<string[]> => {
      const lines: string[] = [];
      for await (const some of rowChanges(batch, 1n, { rows, key: true }))
        for (const { seq, key, value } of some) lines.push(`${textOf(seq)} ${textOf(key)} ${textOf(value)}`);
      return lines;
    };
    let rows = 0;
    const chunks: Buffer[] = [];
    for await (const chunk of rowLines(batch, 1n, (count) => (rows = count))) chunks.push(chunk);
    expect(rows).toBe(batch.rows);
    return {
      json: await changes('json'),
      text: await changes('text'),
      lines: Buffer.concat(chunks).toString().split('\n'),
    };
  }

  const typed = Object.keys(VALUES);
  it('have every value of every type as the drain has it, but of types that are read by key', async () => {
    const byKey: string[] = [];
    for (let at = 0; at < typed.length; at += 17) {
      const columns = typed.slice(at, at + 17);
      const whole = await make(`id int primary key, ${columns.map((type) => `${quotePg(type)} ${type}`).join(', ')}`);
      const types = columns.filter((type) => {
        const column = whole.table.columns.find(({ name }) => name === type);
        return column !== undefined && formOf(column) !== undefined;
      });
      byKey.push(...columns.filter((type) => !types.includes(type)));
      const { source, table } = await make(
        `id int primary key, ${types.map((type) => `${quotePg(type)} ${type}`).join(', ')}`,
      );
      const rows = Math.max(...types.map((type) => VALUES[type]?.length ?? 0)) + 1;
      const places = types.map((_, index) => `$${index + 1}`).join(', ');
      for (let id = 0; id < rows; id += 1)
        await client.query(
          `insert into ${source} values (${id}, ${places})`,
          types.map((type) => VALUES[type]?.[id] ?? null),
        );
      const pending = await take(table);
      expect(pending.tables.size).toBe(0);
      expect(await write(rowsOf(pending))).toEqual(await drain(table));
    }
    expect(byKey.filter((type) => !/^(?:money|xml|reg)/u.test(type))).toEqual([]);
    expect(byKey.length).toBeLessThan(20);
  });

  it('go by key where a value has no place in ClickHouse', async () => {
    for (const [type, values] of Object.entries(OUTSIDE)) {
      const { source, table } = await make(`id int primary key, v ${type}`);
      for (const [id, value] of values.entries())
        await client.query(`insert into ${source} values (${id}, $1)`, [value]);
      const pending = await take(table);
      expect([type, pending.rows.size, pending.tables.get(table.id)?.rows]).toEqual([type, 0, values.length]);
    }
  });

  it('are tombstones of every type where they are gone, and both where their key changed', async () => {
    const all = typed.filter((type) => !/^(?:money|xml|reg)/u.test(type));
    // Of all of them PostgreSQL would store some apart.
    for (let at = 0; at < all.length; at += 17) {
      const types = all.slice(at, at + 17);
      const values = types.map((type) => `'${(VALUES[type]?.[0] ?? '').slice(0, 100).replaceAll(`'`, `''`)}'`);
      const columns = types.flatMap((type, index) => [`n${index} ${type} not null`, `v${index} ${type}`]);
      const { source, table } = await make(`a text, id int, ${columns.join(', ')}, primary key (id, a)`);
      const row = values.flatMap((value) => [value, value]).join(', ');
      await client.query(`insert into ${source} values ('x', 1, ${row}), ('y', 2, ${row})`);
      await take(table);
      await client.query(`truncate pg2click.outbox_${table.id} restart identity`);
      await client.query(`delete from ${source} where id = 1`);
      await client.query(`update ${source} set id = 3, a = E'\\t' where id = 2`);
      const pending = await take(table);
      expect(await write(rowsOf(pending))).toEqual(await drain(table));
    }
  });

  it('go by key where a value that is stored apart was not touched, and after a TRUNCATE', async () => {
    const { source, table } = await make('id int primary key, large text, n int');
    await client.query(`alter table ${source} alter large set storage external`);
    await client.query(`insert into ${source} values (1, repeat('x', 10000), 0), (2, 'short', 0)`);
    await client.query(`update ${source} set n = 1`);
    const pending = await take(table);
    expect([rowsOf(pending).rows, pending.tables.get(table.id)?.rows]).toEqual([3, 1]);
    await client.query(
      `begin; insert into ${source} values (3, '', 0); truncate ${source}; insert into ${source} values (4, '', 0); commit`,
    );
    const after = await take(table);
    expect([rowsOf(after).rows, after.tables.get(table.id)?.text.toString()]).toEqual([1, 't\t\\N\n\\N\t4\n']);
  });
});
