import { createClient } from '@clickhouse/client';
import { Client, Connection } from '@temporalio/client';
import { beforeAll, expect, it, vi } from 'vitest';
import { clickhouseOptions, temporalOptions } from '../support/clients.js';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { addressOf, waitFor } from '../support/stack.js';

vi.setConfig({ testTimeout: 600_000 });

const ROWS = 10_000;
let settings: CliSettings;
beforeAll(async () => {
  settings = await freshSettings();
});

const pg2click = (...args: readonly string[]) => runCli(args, { env: settings });

it('a backfill is asked for by a command or a signal, shown, and done once for one request', async () => {
  const owner = await connectOwner(settings);
  await owner.query(/* sql */ `create table orders (id bigint primary key, v text);
    insert into orders select i, repeat('x', 300) from generate_series(1, ${ROWS}) i`);
  await owner.end();
  expect((await pg2click('init')).code).toBe(0);
  const worker = startCli(['worker'], {
    env: { ...settings, PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '1' },
  });
  await waitFor(() => worker.output().includes('worker started'), { deadlineMs: 60_000, what: 'the worker to start' });
  expect((await pg2click('add', 'orders')).code).toBe(0);

  const clickhouse = createClient({ ...clickhouseOptions(addressOf('clickhouse')), database: settings['CH_DB'] ?? '' });
  const damage = () =>
    clickhouse.command({ query: `alter table orders delete where id % 10 = 0 settings mutations_sync = 1` });
  const missing = async (): Promise<number> => {
    const answer = await clickhouse.query({ query: `select count() as n from orders_current`, format: 'JSONEachRow' });
    const [row] = await answer.json<{ n: string }>();
    return ROWS - Number(row?.n);
  };
  await damage();
  expect(await missing()).toBe(ROWS / 10);

  const ranged = await pg2click('backfill', 'orders', '--from', '1', '--to', '5001', '--prune');
  expect(ranged.stdout).toContain('backfill:1 is finished: 5,000 rows into');
  expect(ranged.code).toBe(0);
  expect(await missing()).toBe(ROWS / 20);

  const refused = await pg2click('backfill', 'orders', '--where', 'colour = 1', '--json');
  expect(refused.stdout).toContain('PostgreSQL does not take the condition of --where');
  expect(refused.code).not.toBe(0);
  expect((await pg2click('backfill', 'orders', '--cancel')).stderr).toContain('No backfill runs.');

  const temporal = temporalOptions(addressOf('temporal'));
  const connection = await Connection.connect(temporal);
  const client = new Client({ connection, namespace: settings['TEMPORAL_NAMESPACE'] ?? '' });
  const handle = client.workflow.getHandle(`replicate/${settings['PG2CLICK_PIPELINE']}/public.orders`);
  const message = { from: 5001, prune: true, requestId: 'night' };
  await handle.signal('backfill', message);
  await waitFor(async () => (await missing()) === 0, { deadlineMs: 60_000, what: 'the backfill of the signal' });
  await handle.signal('backfill', message);
  const shown = await waitFor(
    async () => {
      const { stdout } = await pg2click('status', 'orders', '--json');
      const { tables } = JSON.parse(stdout) as { tables: { backfills: { id: string; status: string }[] }[] };
      return tables[0]?.backfills.every(({ status }) => status === 'finished') === true
        ? tables[0].backfills
        : undefined;
    },
    { deadlineMs: 60_000, what: 'both to end' },
  );
  expect(shown).toEqual([
    expect.objectContaining({
      id: 'backfill:1',
      status: 'finished',
      rows: 5_000,
      terms: { from: '1', to: '5001', prune: true },
    }),
    expect.objectContaining({
      id: 'backfill:2',
      status: 'finished',
      rows: 5_000,
      terms: { from: '5001', prune: true },
    }),
  ]);
  expect((await pg2click('status', 'orders')).stdout).toMatch(
    /backfill:2 +finished, 5,000 rows into \S+orders; from 5001, pruned/u,
  );
  await connection.close();
  await clickhouse.close();
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});
