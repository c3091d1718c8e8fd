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

const startWorker = async (): Promise<void> => {
  const worker = startCli(['worker'], { env: settings });
  await waitFor(() => Promise.resolve(worker.output().includes('worker started')), {
    deadlineMs: 60_000,
    what: 'the worker to start',
  });
};
const run = (...args: readonly string[]): Promise<CliResult> => runCli(args, { env: settings });
const json = <T>({ stdout }: CliResult): T => JSON.parse(stdout) as T;

it('changes the format of a running table, says what happens, and is harmless to repeat', async () => {
  expect((await run('init')).code).toBe(0);
  const missing = await run('configure', 'orders', '--format', 'packed');
  expect(missing).toMatchObject({ code: 5, stderr: expect.stringContaining('not replicated') });
  await startWorker();
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

it('what the workflow refuses is refused in a dry run too, and ends with its code; a loader that waits is withdrawn', async () => {
  await startWorker();
  // The worker does not know that server, and leaves the loader to others.
  const env = { ...settings, CH_URL_EU: 'http://default@localhost:1/default' };
  const adding = startCli(['loader', 'add', 'orders', 'eu', '--server', 'eu'], { env });
  await waitFor(() => Promise.resolve(adding.output().includes('retrying: ')), {
    deadlineMs: 60_000,
    what: 'the loader to be refused by the worker',
  });
  const busy = { kind: 'UnsuitableTable', message: expect.stringContaining('Another change (addLoader)') };
  for (const args of [
    ['configure', 'orders', '--format', 'json', '--dry-run'],
    ['configure', 'orders', '--format', 'json'],
  ]) {
    const refused = await run(...args, '--json');
    expect(refused, args.join(' ')).toMatchObject({ code: 5 });
    expect(json(refused)).toEqual({
      error: { ...busy, remedy: 'See what the table does: pg2click status public.orders' },
    });
  }
  const removed = await run('loader', 'remove', 'orders', 'eu');
  expect(removed, removed.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Loader eu is not added: the request is withdrawn.'),
  });
  expect(await adding.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('it was withdrawn') });
  const missing = await run('loader', 'remove', 'orders', 'eu', '--json');
  expect(missing.code).toBe(2);
  expect(json(missing)).toMatchObject({ error: { kind: 'Misconfigured' } });
  const taken = await run('loader', 'add', 'orders', 'second', '--json');
  expect(taken, taken.stderr).toMatchObject({ code: 5 });
  expect(json(taken)).toMatchObject({ error: { kind: 'TargetTaken', remedy: expect.any(String) } });
});
