import { createClient } from '@clickhouse/client';
import { beforeAll, expect, it, vi } from 'vitest';
import { clickhouseOptions } from '../support/clients.js';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { addressOf, waitFor } from '../support/stack.js';
import { runRecipe } from '../support/temporal-program.js';

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
  const added = await pg2click('add', 'orders', '--priority', 'high', '--json');
  expect(JSON.parse(added.stdout)).toMatchObject({ table: { priority: 'high', copied: true } });

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

  const workflowId = `replicate/${settings['PG2CLICK_PIPELINE']}/public.orders`;
  for (const repeat of [1, 2]) {
    await runRecipe('25-copies.md', 'temporal workflow signal .*--name backfill', { workflowId, settings });
    await waitFor(async () => (await missing()) === ROWS / 10 - 100, {
      deadlineMs: 60_000,
      what: `the backfill of signal ${repeat}`,
    });
  }

  const ranged = await pg2click('backfill', 'orders', '--from', '1', '--to', '5001', '--prune', '--priority', 'high');
  expect(ranged.stdout).toContain('backfill:2 is finished: 5,000 rows into');
  expect(ranged.code).toBe(0);
  expect(await missing()).toBe(ROWS / 20);

  const refused = await pg2click('backfill', 'orders', '--where', 'colour = 1', '--json');
  expect(refused.stdout).toContain('PostgreSQL does not take the condition of --where');
  expect(refused.code).not.toBe(0);
  expect((await pg2click('backfill', 'orders', '--cancel')).stderr).toContain('No backfill runs.');
  expect((await pg2click('prioritize', 'orders', 'urgent')).stderr).toContain('high, normal, low');
  expect((await pg2click('prioritize', 'orders', 'low')).stdout).toContain('Copies of the table have low priority.');

  const { stdout } = await pg2click('status', 'orders', '--json');
  const { tables } = JSON.parse(stdout) as { tables: { priority: string; backfills: { id: string }[] }[] };
  expect(tables[0]?.priority).toBe('low');
  const finished = { status: 'finished' };
  expect(tables[0]?.backfills).toEqual([
    expect.objectContaining({
      ...finished,
      id: 'backfill:1',
      rows: 1_000,
      terms: { from: '1000', to: '2000', prune: true },
    }),
    expect.objectContaining({
      ...finished,
      id: 'backfill:2',
      rows: 5_000,
      terms: { from: '1', to: '5001', prune: true, priority: 'high' },
    }),
  ]);
  expect((await pg2click('status', 'orders')).stdout).toMatch(
    /backfill:2 +finished, 5,000 rows into \S+orders; from 1 to 5001, pruned, high priority/u,
  );

  await pg2click('pause', 'orders');
  const waits = await pg2click('backfill', 'orders', '--from', '1', '--to', '10');
  expect(waits.stdout).toBe(
    'public.orders is paused: this takes effect after pg2click resume public.orders. Withdraw it: pg2click backfill public.orders --cancel\n',
  );
  expect(waits.code).toBe(6);
  expect((await pg2click('status', 'orders')).stdout).toMatch(
    /backfill, from 1 to 10 waits since \S+: the table is paused/u,
  );
  const withdrawn = await pg2click('backfill', 'orders', '--cancel');
  expect(withdrawn.stdout).toContain('The request is withdrawn');
  expect(withdrawn.code).toBe(0);
  expect(JSON.parse((await pg2click('resync', 'orders', '--json')).stdout)).toMatchObject({
    accepted: true,
    waits: true,
  });
  expect((await pg2click('resync', 'orders', '--cancel')).code).toBe(0);
  await pg2click('resume', 'orders');

  expect((await pg2click('backfill', 'orders', '--where', 'colour = 1')).code).toBe(2);
  expect((await pg2click('status', 'orders')).stdout).toContain('backfill, where colour = 1: refused (Misconfigured)');
  expect(worker.output()).toMatch(/refused: PostgreSQL does not take the condition of --where \(SQLSTATE 42703\)/u);
  expect(worker.output()).not.toMatch(/parked:|colour/u);
  await clickhouse.close();
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});
