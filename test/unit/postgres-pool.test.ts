import { EventEmitter } from 'node:events';
import { afterAll, expect, it } from 'vitest';
import { createPostgresPool } from '../../src/connect/postgres.js';
import { loadSettings } from '../../src/settings/settings.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { RowReader } from '../../src/source/outbox/row-reader.js';
import { OutboxSource, type OutboxServices } from '../../src/source/outbox/outbox-source.js';
import type { OutboxRow } from '../../src/source/outbox/steps.js';
import type { StageContext } from '../../src/pipeline/stage.js';

const PG_URL = 'postgres://somebody:secret@127.0.0.1:1/nowhere';
const pool = createPostgresPool(loadSettings({ env: { PG_URL }, envFile: false, stackFile: false }), { max: 1 });
afterAll(() => pool.end());

it('a connection that breaks while it is lent does not end the process', () => {
  const client = new EventEmitter();
  pool.emit('connect', client as Parameters<typeof pool.emit>[1]);
  expect(() => client.emit('error', new Error('Connection terminated unexpectedly'))).not.toThrow();
});

it('a slice that cannot reach the database of the tables says so', async () => {
  const services = { source: pool, ledger: pool, openSteps: () => undefined } as unknown as OutboxServices;
  const stage = {
    table: { name: { schema: 'public', table: 'orders' }, route: { capture: { triggerLevel: 'statement' } } },
    row: { pending: null, position: {}, lowWater: '0', batch: 0 },
    request: { checkpoint: null },
  } as unknown as StageContext<OutboxRow>;
  const source = new OutboxSource(services, stage, new RowReader(services, { rows: 'json', key: true }));
  await expect(source.verify()).rejects.toMatchObject({ kind: 'SourceUnavailable' });
});

it('adding a table says so too', async () => {
  await expect(inspectTable(pool, { schema: 'public', table: 'orders' })).rejects.toMatchObject({
    kind: 'SourceUnavailable',
    message: 'PostgreSQL could not be reached while looking at public.orders.',
  });
});
