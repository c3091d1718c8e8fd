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

it('a resync is asked for by a command or a signal, shown, cancelled, and done once for one request', async () => {
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
  const one = async (query: string): Promise<string> => {
    const answer = await clickhouse.query({ query, format: 'TabSeparated' });
    return (await answer.text()).trim();
  };
  const tablesThere = () =>
    one(`select arraySort(groupArray(name)) from system.tables where database = currentDatabase()`);
  const missing = async (): Promise<number> => ROWS - Number(await one('select count() from orders_current'));
  const damage = () =>
    clickhouse.command({ query: `alter table orders delete where id % 10 = 0 settings mutations_sync = 1` });
  await damage();
  expect(await missing()).toBe(ROWS / 10);

  const done = await pg2click('resync', 'orders', '--keep', '7d');
  expect(done.stdout).toContain('copy:resync-1 is finished: 10,000 rows into');
  expect(done.code).toBe(0);
  expect(await missing()).toBe(0);
  expect(await tablesThere()).toBe(`['orders','orders__r1_old','orders_current','orders_floor']`);
  expect((await pg2click('status', 'orders')).stdout).toMatch(
    /kept +\S+orders__r1_old, the old table of a resync, until 20\d\d-/u,
  );
  expect((await pg2click('resync', 'orders', '--keep-longer', 'for ever')).stderr).toContain('keep must be a time');
  const longer = await pg2click('resync', 'orders', '--keep-longer', 'forever');
  expect(longer.stdout).toContain('orders__r1_old is kept until somebody drops it.');
  const dropped = await pg2click('resync', 'orders', '--drop-kept', '--kept', 'orders__r1_old');
  expect(dropped.stdout).toContain('orders__r1_old is dropped.');
  expect(await tablesThere()).toBe(`['orders','orders_current','orders_floor']`);
  const none = await pg2click('resync', 'orders', '--cancel');
  expect(none.stderr).toContain('No resync runs.');
  expect(none.code).not.toBe(0);
  expect((await pg2click('resync', 'orders', '--loader', 'eu')).stderr).toContain('The table has no loader eu');

  const temporal = temporalOptions(addressOf('temporal'));
  const connection = await Connection.connect(temporal);
  const client = new Client({ connection, namespace: settings['TEMPORAL_NAMESPACE'] ?? '' });
  const handle = client.workflow.getHandle(`replicate/${settings['PG2CLICK_PIPELINE']}/public.orders`);
  await damage();
  await handle.signal('resync', { keep: '3s', requestId: 'night' });
  await waitFor(async () => (await missing()) === 0, { deadlineMs: 60_000, what: 'the resync of the signal' });
  await handle.signal('resync', { keep: '3s', requestId: 'night' });
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
    expect.objectContaining({ id: 'copy:resync-1', rows: ROWS, terms: { resync: true, keep: '7d' } }),
    expect.objectContaining({ id: 'copy:resync-2', rows: ROWS, terms: { resync: true, keep: '3s' } }),
  ]);
  expect((await pg2click('status', 'orders')).stdout).toMatch(
    /copy:resync-2 +finished, 10,000 rows into \S+orders; a fresh table in its place, the old one is kept 3s/u,
  );

  await waitFor(async () => (await tablesThere()) === `['orders','orders_current','orders_floor']`, {
    deadlineMs: 60_000,
    what: 'the old table to be dropped when its time is over',
  });

  // A writer that does not end keeps it from being copied.
  const open = await connectOwner(settings);
  await open.query('begin; update orders set v = v where id = 1');
  expect((await pg2click('resync', 'orders', '--no-wait')).stdout).toContain('copy:resync-3 into');
  expect((await pg2click('backfill', 'orders')).stderr).toContain('copy:resync-3 fills a fresh table');
  expect((await pg2click('resync', 'orders', '--cancel')).stdout).toContain('copy:resync-3 is cancelled');
  await open.query('commit');
  await open.end();
  expect(await tablesThere()).toBe(`['orders','orders_current','orders_floor']`);
  expect(await missing()).toBe(0);
  await connection.close();
  await clickhouse.close();
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});
