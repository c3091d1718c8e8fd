import { beforeAll, expect, it, vi } from 'vitest';
import { runCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';

// Several processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 120_000 });

let settings: CliSettings;
const run = (...words: string[]) => runCli(words, { env: settings });

beforeAll(async () => {
  settings = await freshSettings();
  const client = await connectOwner(settings);
  await client.query(/* sql */ `
    create table orders (id int, day date, status text not null, note text, primary key (id, day));
    insert into orders select g, current_date, 's' || g % 6, 'note ' || g from generate_series(1, 100000) g;
    analyze orders`);
  await client.end();
  expect((await run('init')).code).toBe(0);
});

it('options of the ClickHouse table that it refuses start nothing, and the command says why', async () => {
  const refused = await run('add', 'orders', '--partition-by', 'toYYYYMM(dya)', '--codec', 'status=ZSTD(3)');
  expect(refused.stderr).toMatch(/ClickHouse refuses --partition-by toYYYYMM\(dya\): Missing columns: 'dya'/u);
  expect(refused.code).toBe(5);
  expect((await run('status', 'orders')).code).toBe(5);
});

it('the plan says what the options cost, and which texts have few values', async () => {
  const options = ['--order-by', 'day, id', '--partition-by', 'toYYYYMM(day)', '--ttl', 'day + interval 9 year'];
  const plan = await run('add', 'orders', '--dry-run', ...options);
  expect(plan.code, plan.stderr).toBe(0);
  expect(plan.stdout).toContain('public.orders: ordered by day, id: queries by the first columns of the key');
  expect(plan.stdout).toContain('public.orders: partitioned by toYYYYMM(day): a batch makes a part in each partition');
  expect(plan.stdout).toContain('public.orders: its rows disappear in ClickHouse at day + interval 9 year');
  expect(plan.stdout).toContain('texts with few distinct values: status (about 6). With --low-cardinality status they');
  const data = await run('add', 'orders', '--dry-run', '--json', '--low-cardinality', 'status');
  expect(JSON.parse(data.stdout)).toMatchObject({ tables: [{ table: 'public.orders', action: 'add', notes: [] }] });
});

it('configure refuses them with the way out', async () => {
  const refused = await run('configure', 'orders', '--order-by', 'id');
  expect(refused.stderr).toContain('pg2click remove public.orders --drop-target, then add it');
});
