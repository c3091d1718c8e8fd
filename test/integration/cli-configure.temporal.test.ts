import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli, type CliResult } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { waitFor } from '../support/stack.js';

vi.setConfig({ testTimeout: 240_000 });

let settings: CliSettings;

beforeAll(async () => {
  settings = await freshSettings();
  const client = await connectOwner(settings);
  await client.query(/* sql */ `create table orders (id bigint primary key, note text);
    insert into orders select i, 'a private note' from generate_series(1, 5000) i`);
  await client.end();
});

const run = (...args: readonly string[]): Promise<CliResult> => runCli(args, { env: settings });
const json = <T>({ stdout }: CliResult): T => JSON.parse(stdout) as T;

it('changes the format of a running table, says what happens, and is harmless to repeat', async () => {
  expect((await run('init')).code).toBe(0);
  const missing = await run('configure', 'orders', '--format', 'packed');
  expect(missing).toMatchObject({ code: 5, stderr: expect.stringContaining('not replicated') });
  const worker = startCli(['worker'], { env: settings });
  await waitFor(() => Promise.resolve(worker.output().includes('worker started')), {
    deadlineMs: 60_000,
    what: 'the worker to start',
  });
  expect((await run('add', 'orders')).code).toBe(0);

  const dry = await run('configure', 'orders', '--format', 'packed', '--dry-run');
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('outbox, kafka (json, row), worker, replacing -> outbox, kafka (packed, row)'),
  });
  expect(json(await run('status', 'orders', '--json'))).toMatchObject({ tables: [{ format: 'json' }] });

  const done = await run('configure', 'orders', '--format', 'packed');
  expect(done, done.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('travels by outbox, kafka (packed, row), worker, replacing now'),
  });
  const again = await run('configure', 'orders', '--format', 'packed', '--json');
  expect(json(again)).toMatchObject({ table: 'public.orders', changed: false, change: 'none' });
  const back = await run('configure', 'orders', '--format', 'json', '--json');
  expect(json(back), back.stderr).toMatchObject({
    changed: true,
    change: 'messages',
    exit: 'done',
    view: { phase: 'streaming', format: 'json' },
  });
  // `add` compares with what the table has now.
  await run('configure', 'orders', '--format', 'packed');
  expect((await run('add', 'orders', '--format', 'packed')).code).toBe(0);
  expect((await run('add', 'orders', '--format', 'json')).code).toBe(5);
});

it('refuses what cannot be changed, with one sentence, and sends nothing', async () => {
  for (const [option, value, sentence] of [
    ['--engine', 'merge-tree', 'A plain MergeTree cannot replace or delete rows'],
    ['--topic', 'another', 'The topic of a table stays'],
  ] as const) {
    const refused = await run('configure', 'orders', option, value);
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining(sentence) });
  }
  expect((await run('configure', 'orders', '--transport', 'pigeon')).code).toBe(2);
  expect((await run('configure', '--help')).stdout).toContain('--append-only');
  expect(json(await run('status', 'orders', '--json'))).toMatchObject({
    tables: [{ phase: 'streaming', ignored: null }],
  });
});
