import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli, type CliResult, type CliRun } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { waitFor } from '../support/stack.js';

// Processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

let settings: CliSettings;

beforeAll(async () => {
  settings = await freshSettings();
  await sql(/* sql */ `create schema shop; create schema archive;
    create table shop.orders (id bigint primary key, note text);
    insert into shop.orders select i, 'n' from generate_series(1, 500) i; analyze shop.orders;
    create table shop.lines (order_id bigint, line int, primary key (line, order_id));
    create table shop."Items" (id int primary key, until date);
    insert into shop."Items" values (1, 'infinity');
    create table shop.keyless (id int);
    create table shop.tmp_1 (id int primary key);
    create table public.shop_orders (id int primary key);
    create view shop.seen as select * from shop.orders`);
});

async function sql(statement: string): Promise<void> {
  const client = await connectOwner(settings);
  await client.query(statement);
  await client.end();
}

function add(...args: readonly string[]): Promise<CliResult> {
  return runCli(['add', ...args], { env: settings });
}

async function replicated(): Promise<string[]> {
  const { stdout } = await runCli(['status', '--json'], { env: settings });
  return (JSON.parse(stdout) as { tables: { table: string }[] }).tables.map(({ table }) => table);
}

async function startWorker(more: Readonly<Record<string, string>> = {}): Promise<CliRun> {
  const worker = startCli(['worker'], { env: { ...settings, ...more } });
  await waitFor(
    (see) => {
      see(worker.output());
      return worker.output().includes('worker started');
    },
    { deadlineMs: 60_000, what: 'the worker to start' },
  );
  return worker;
}

it('several tables are shown and not added, until somebody agrees', async () => {
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
  const shown = await add('shop.*', '--exclude', 'shop.tmp*', '--dry-run');
  expect(shown.stdout).toMatch(/^3 tables to add:\n {2}table +key +rows \(about\) +way\n/u);
  expect(shown.stdout).toMatch(/shop\.orders +id +500 +outbox, kafka \(json, row\), worker, replacing/u);
  expect(shown.stdout).toMatch(/shop\.lines +line, order_id +- /u);
  expect(shown.stderr).toContain('shop."Items": column until has values that Date32 has no place for');
  expect(shown.stdout).toContain('1 table refused:\n  shop.keyless has no primary key.');
  expect(shown.code).toBe(5);

  const asked = await add('shop.*', '--exclude', 'shop.tmp*');
  expect(asked.stderr).toContain('3 tables to add:');
  expect(asked.stderr).toContain('Nothing was added: adding 3 tables needs --yes where nobody can be asked.');
  expect(asked.code).toBe(2);

  const data = await add('shop.*', '--exclude', 'shop.tmp*', '--json');
  expect(JSON.parse(data.stdout)).toMatchObject({
    agreed: false,
    error: { kind: 'Misconfigured' },
    tables: [
      { table: 'shop."Items"', action: 'add', key: ['id'] },
      { table: 'shop.keyless', action: 'refuse', reason: { kind: 'UnsuitableTable' } },
      { table: 'shop.lines', action: 'add' },
      { table: 'shop.orders', action: 'add', estimatedRows: 500 },
    ],
  });
  expect(data.code).toBe(2);
  expect(await replicated()).toEqual([]);
});

it.each([
  [['shop.*', '--key', 'id'], '--key is for one table, and several were named.', 2],
  [['a', 'b', '--target', 't', '--topic', 'u'], '--target and --topic are for one table, and several were named.', 2],
  [['shop.nothing*'], 'No table of this database fits shop.nothing*.', 5],
  [['shop..*'], '"shop..*" is neither a table name nor a pattern', 2],
  [['*.*', '--slots', '1'], "unknown option '--slots'", 2],
])('add %j is refused', async (args, message, code) => {
  const { stderr, ...result } = await add(...args, '--yes');
  expect(stderr).toContain(message);
  expect(result.code).toBe(code);
});

it('neither our own schema nor those of PostgreSQL are meant by a pattern', async () => {
  const shown = await add('*.*', '--dry-run', '--json');
  const { tables } = JSON.parse(shown.stdout) as { tables: { table: string }[] };
  const schemas = new Set(tables.map(({ table }) => table.split('.')[0]));
  expect(schemas).toEqual(new Set(['public', 'shop']));
});

it('of two that want one target the second is refused', async () => {
  const shown = await add('*.*orders', '--dry-run');
  expect(shown.stdout).toContain('1 table to add:');
  expect(shown.stdout).toContain(
    `The ClickHouse table ${settings['CH_DB']}.shop_orders, which shop.orders would have, is that of public.shop_orders.`,
  );
});

it('they are added when somebody agrees, those that are in are skipped, and the exit code says whether all went in', async () => {
  const waiting = await add('shop.tmp_*', 'shop.lines', '--yes', '--no-wait');
  expect(waiting.code).toBe(0);
  const worker = await startWorker();

  const added = await add('shop.*', '--yes');
  expect(added.stderr).toContain('2 tables replicated already: shop.lines, shop.tmp_1');
  expect(added.stderr).not.toContain('Warning');
  expect(added.stderr).toContain('✔ shop.orders (');
  expect(added.stderr).toContain('2 of 2 tables added, 1 refused.');
  expect(added.code).toBe(5);
  expect(await replicated()).toEqual(['shop."Items"', 'shop.lines', 'shop.orders', 'shop.tmp_1']);

  const again = await add('shop.*', '--exclude', 'shop.keyless');
  expect(again.stderr).toContain('4 tables replicated already');
  expect(again.stderr).toContain('Nothing to add.');
  expect(again.code).toBe(0);

  // One name keeps its form.
  const one = await add('shop.orders', '--json');
  expect(JSON.parse(one.stdout)).toMatchObject({ started: false, table: { phase: 'streaming', copiedRows: 500 } });
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('one that is parked does not hold up the others', async () => {
  const worker = await startWorker({ PG2CLICK_QUARANTINE_ROWS: '0' });
  await sql(/* sql */ `create table archive.a (id int primary key); create table archive.b (id int primary key);
    create table archive.odd (id int primary key, at date); insert into archive.odd values (1, 'infinity')`);
  const { stderr, code } = await add('archive.*', '--yes');
  expect(stderr).toContain('✖ archive.odd is parked');
  expect(stderr).toContain('✔ archive.a (');
  expect(stderr).toContain('✔ archive.b (');
  expect(stderr).toContain('2 of 3 tables added, 1 not as they should be (see above).');
  expect(code).toBe(4);
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('Ctrl-C ends it in order, and the same command adds the rest', async () => {
  const worker = await startWorker();
  await sql(Array.from({ length: 24 }, (_, i) => `create table archive.many_${i} (id int primary key)`).join(';'));
  const run = startCli(['add', 'archive.many_*', '--yes'], { env: settings });
  await waitFor(() => run.output().includes('✔'), { deadlineMs: 60_000, what: 'the first table' });
  run.process.kill('SIGINT');
  const { code, stderr } = await run.ended;
  expect(stderr).toMatch(/Interrupted: \d+ tables? of 24 started; they go on by themselves/u);
  expect(code).toBe(130);
  expect((await add('archive.many_*', '--yes')).code).toBe(0);
  expect((await replicated()).filter((table) => table.startsWith('archive.many_'))).toHaveLength(24);
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});
