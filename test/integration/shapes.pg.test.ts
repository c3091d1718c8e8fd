import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { changeStages, claimPrepared } from '../../src/ledger/change-route.js';
import { noteShape, type NewShape } from '../../src/ledger/shapes.js';
import { claimStage, readStages } from '../../src/ledger/stages.js';
import { findTable } from '../../src/ledger/tables.js';
import { failureOf } from '../support/failure-of.js';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { followShape } from '../../src/source/follow-shape.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase } from '../support/stack.js';

const PIPELINE = 'shapes';
const COLUMNS = [
  { name: 'id', position: 1, type: 'integer', nullable: false },
  { name: 'v', position: 2, type: 'text', nullable: true },
];

let pool: pg.Pool;
beforeAll(async () => {
  const address = await freshDatabase('shapes');
  pool = new pg.Pool({ ...address, max: 8 });
  const client = await connectSource(address);
  await migrateLedger(client);
  for (const table of ['raced', 'changed', 'copied']) {
    const loader = { kind: 'worker', name: 'main', target: { database: 'shapes', table } };
    const route = { capture: { kind: 'outbox' }, transport: { kind: 'direct' }, loaders: [loader] };
    const definition = JSON.stringify({ columns: COLUMNS, key: ['id'], route });
    await client.query(
      /* sql */ `with table_of as (
          insert into pg2click.replicated_table (pipeline, schema_name, table_name, relation, generation, definition, ready)
          values ($1, 'public', $2, 1, 1, $3, true) returning id)
        insert into pg2click.stage (table_id, stage, position, batch) select id, 'copy', '{"done":"7"}', 1 from table_of`,
      [PIPELINE, table, definition],
    );
  }
  await client.end();
});
afterAll(() => pool.end());

async function read(table: string): Promise<ReplicatedTable> {
  const row = await findTable(pool, PIPELINE, { schema: 'public', table });
  if (row === undefined) throw new Error(`${table} is not in the ledger`);
  return row;
}

function next(table: ReplicatedTable, more: Partial<NewShape> = {}): NewShape {
  const { key, fingerprint } = table;
  const columns = [...table.columns, { name: 'c', position: 3, type: 'integer', nullable: true }];
  return { columns, key, fingerprint: `${fingerprint} `, class: 'follow', change: 'the column c was added', ...more };
}

it('of several attempts that saw one change, one gives it a number', async () => {
  const table = await read('raced');
  const noted = await Promise.all(Array.from({ length: 8 }, () => noteShape(pool, table, next(table))));
  expect(noted.filter(Boolean)).toHaveLength(1);
  const now = await read('raced');
  expect(now.shape).toBe(2);
  expect(now.columns.map(({ name }) => name)).toEqual(['id', 'v', 'c']);
  expect(now.shapes).toMatchObject([
    { shape: 1, columns: table.columns, change: '' },
    { shape: 2, columns: now.columns, class: 'follow', change: 'the column c was added' },
  ]);
  // One that slept since writes nothing.
  expect(await noteShape(pool, table, next(table))).toBe(false);
});

it('a change of the route that has read the older columns is fenced', async () => {
  const table = await read('changed');
  const address = { pipeline: PIPELINE, schema: 'public', table: 'changed' };
  const change = await claimPrepared(pool, address);
  expect(await noteShape(pool, table, next(table))).toBe(true);
  expect(await failureOf(() => changeStages(pool, change.claim, change.table, {}))).toMatchObject({ kind: 'Fenced' });
  expect((await read('changed')).columns).toHaveLength(3);
});

it('what is refused is added again with the names of now', async () => {
  const client = await connectSource(await freshDatabase('renamed'));
  try {
    await client.query('create table named (id int primary key, secret text, gone text, v text)');
    const columns = { excluded: ['secret', 'gone'], types: { v: 'LowCardinality(String)' } };
    const made = await replicate(client, { schema: 'public', table: 'named' }, { columns });
    const table = { ...made, fingerprint: await fingerprintTable(client, made) };
    await client.query(`alter table named rename secret to hidden; alter table named drop gone;
      alter table named rename id to number; alter table named alter number type bigint`);
    const { remedy } = (await failureOf(() => followShape(client, pool, table))) as { remedy?: string };
    expect(remedy).toContain('--exclude-column hidden ');
    expect(remedy).not.toContain('gone');
    await client.query('alter table named drop hidden');
    const { remedy: later } = (await failureOf(() => followShape(client, pool, table))) as { remedy?: string };
    expect(later).not.toContain('--exclude-column');
  } finally {
    await client.end();
  }
});

it('the class copy has the first load begin again, and fences the one that runs', async () => {
  const table = await read('copied');
  const { epoch } = await claimStage(pool, { tableId: table.id, stage: 'copy', owner: 'running' });
  expect(await noteShape(pool, table, next(table, { class: 'copy' }))).toBe(true);
  const copy = (await readStages(pool, table.id)).find(({ stage }) => stage === 'copy');
  expect(copy).toMatchObject({ position: { again: true }, pending: null, batch: 1 });
  expect(BigInt(copy?.epoch ?? 0)).toBeGreaterThan(BigInt(epoch));
});
