import { expect, it, vi } from 'vitest';
import pg from 'pg';
import { connectTemporal } from '../../src/connect/temporal.js';
import { loadSettings } from '../../src/settings/settings.js';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings } from '../support/cli-settings.js';
import { ledgerRole } from '../support/least-role.js';
import { readStatus } from '../support/read-status.js';
import { freshDatabase, waitFor } from '../support/stack.js';

// Dozens of processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

it('with LEDGER_PG_URL a table is added, followed and removed, and other settings are refused', async () => {
  const ledger = await freshDatabase('ledger');
  const own = await freshSettings();
  const env = { ...own, LEDGER_PG_URL: await ledgerRole(ledger) };
  const source = await connectOwner(own);
  await source.query(/* sql */ `create table orders (id bigint primary key, note text);
    insert into orders select i, 'a note' from generate_series(1, 100) i`);

  const early = await runCli(['worker'], { env });
  expect(early.stderr).toContain('is of another release: it lacks 001-ledger.sql');
  expect(early.code).not.toBe(0);

  const init = await runCli(['init'], { env });
  expect(init.stdout).toMatch(/✔ PostgreSQL +.*outboxes made ready \(source\/001-drain\.sql, .*\)/u);
  expect(init.stdout).toMatch(new RegExp(`✔ Ledger +.*/${ledger.database}.*ledger made ready`, 'u'));
  expect(init.code).toBe(0);

  const worker = startCli(['worker'], { env });
  await waitFor(() => worker.output().includes('worker started'), { deadlineMs: 60_000, what: 'the worker to start' });
  const added = await runCli(['add', 'orders', '--json'], { env });
  expect(JSON.parse(added.stdout)).toMatchObject({ table: { phase: 'streaming', copiedRows: 100, failure: null } });
  await source.query(`update orders set note = note || '!' where id <= 10; delete from orders where id = 100`);
  await waitFor(
    async (see) => {
      const view = await readStatus(env, 'orders');
      see(view);
      return view?.loadedRows === 11 && view.waiting === 0;
    },
    { deadlineMs: 30_000, what: '11 changes in ClickHouse', everyMs: 200 },
  );
  expect((await runCli(['status', 'orders'], { env })).code).toBe(0);
  const well = await runCli(['status', '--trouble'], { env });
  expect(well.stdout).toContain('No table is as you asked.');
  expect(well.code).toBe(0);
  const away = await runCli(['status', '--json'], { env: { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' } });
  expect(JSON.parse(away.stdout)).toMatchObject({
    outage: { kind: 'TemporalUnavailable' },
    tables: [{ table: 'public.orders', phase: 'unknown', copiedRows: 100, loadedRows: 11, waiting: 0 }],
  });
  expect(away.code).toBe(3);

  const elsewhere = await runCli(['init'], { env: own });
  expect(elsewhere.stdout).toContain('belong to a ledger in another database, and LEDGER_PG_URL is not set');
  expect(elsewhere.code).not.toBe(0);
  const other = await runCli(['init'], {
    env: { ...env, LEDGER_PG_URL: await ledgerRole(await freshDatabase('other')) },
  });
  expect(other.stdout).toMatch(/✖ Ledger .*belong to another ledger/u);

  const temporal = await connectTemporal(loadSettings({ env, envFile: false, stackFile: false }));
  await temporal.client.workflow.getHandle(`replicate/${own['PG2CLICK_PIPELINE']}/public.orders`).terminate();
  await temporal.close();
  const paused = await runCli(['pause', 'orders'], { env });
  expect(paused.stderr).toContain('public.orders is stopped: its workflow does not run, and changes fill its outbox.');
  expect(paused.code).toBe(5);
  expect((await runCli(['add', 'orders'], { env })).code).toBe(0);

  expect((await runCli(['remove', 'orders', '--yes', '--drop-target'], { env })).code).toBe(0);
  const left = await source.query(`select from pg_trigger where tgrelid = 'orders'::regclass`);
  expect(left.rowCount).toBe(0);
  const there = new pg.Client(ledger);
  await there.connect();
  expect((await there.query('select from pg2click.replicated_table')).rowCount).toBe(0);
  await there.end();
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expect(worker.output()).not.toContain(new URL(env.LEDGER_PG_URL).password);
  await source.end();
});
