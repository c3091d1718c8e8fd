import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { readStatus } from '../support/read-status.js';
import { waitFor } from '../support/stack.js';

// A dozen processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

let settings: CliSettings;
const CONDITION = '(("tenant_id" = 7) AND (NOT "test"))';

beforeAll(async () => {
  settings = await freshSettings();
  const client = await connectOwner(settings);
  await client.query(/* sql */ `
    create table orders (id int primary key, tenant_id int, test boolean);
    insert into orders select g, g % 10, g % 3 = 0 from generate_series(1, 1000) g;
    create table lines (id int primary key, tenant_id int, test boolean);
    create table countries (id int primary key);
    analyze orders`);
  await client.end();
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
});

it('a condition that is refused starts nothing, alone and in a plan', async () => {
  const refused = await runCli(['add', 'orders', '--where', 'tenant_id = now()'], { env: settings });
  expect(refused.stderr).toContain('The row filter of public.orders is refused by PostgreSQL: operator does not exist');
  expect(refused.code).toBe(5);
  expect((await runCli(['status', 'orders'], { env: settings })).code).toBe(5);

  const plan = await runCli(['add', 'public.*', '--where', 'tenant_id = 7 and not test', '--dry-run', '--json'], {
    env: settings,
  });
  expect(JSON.parse(plan.stdout)).toMatchObject({
    tables: [
      {
        table: 'public.countries',
        action: 'refuse',
        where: null,
        reason: { message: expect.stringMatching(/column "tenant_id" does not exist/u) as string },
      },
      { table: 'public.lines', action: 'add', where: CONDITION },
      { table: 'public.orders', action: 'add', where: CONDITION, estimatedRows: expect.any(Number) as number },
    ],
  });
  const drawn = await runCli(['add', 'public.*', '--where', 'tenant_id = 7 and not test', '--dry-run'], {
    env: settings,
  });
  expect(drawn.stdout).toContain(`public.orders: only rows with ${CONDITION}`);
});

it('a table has its filter for its life: status shows it, and add takes no other', async () => {
  const worker = startCli(['worker'], { env: settings });
  await waitFor(() => Promise.resolve(worker.output().includes('worker started')), {
    deadlineMs: 60_000,
    what: 'the worker to start',
  });
  const added = await runCli(['add', 'orders', '--where', 'tenant_id = 7 and not test'], { env: settings });
  expect(added.code, added.stderr).toBe(0);
  expect(added.stderr).toContain(`public.orders: only rows with ${CONDITION}`);
  expect(await readStatus(settings, 'orders')).toMatchObject({ where: CONDITION, copiedRows: 67 });
  expect((await runCli(['status', 'orders'], { env: settings })).stdout).toContain(CONDITION);

  const same = await runCli(['add', 'orders', '--no-wait', '--where', '(orders.tenant_id=7) AND not(test)'], {
    env: settings,
  });
  expect(same.stderr).toContain('public.orders is replicated already; nothing was changed.');
  expect(same.code).toBe(0);
  const other = await runCli(['add', 'orders', '--where', 'tenant_id = 8'], { env: settings });
  expect(other.stderr).toContain(`its row filter is ${CONDITION}, not ("tenant_id" = 8).`);
  expect(other.stderr).toContain('To change its row filter run pg2click remove public.orders, then add it again.');
  expect(other.code).toBe(5);
  expect((await runCli(['remove', 'orders', '--yes'], { env: settings })).code).toBe(0);
});
