import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { readStatus } from '../support/read-status.js';
import { waitFor } from '../support/stack.js';

vi.setConfig({ testTimeout: 120_000 });

let settings: CliSettings;

beforeAll(async () => {
  settings = await freshSettings();
  const owner = await connectOwner(settings);
  await owner.query(`create table orders (id int primary key); insert into orders values (1)`);
  await owner.end();
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
});

const add = (...words: string[]) => runCli(['add', ...words], { env: settings });

const isGone = async (): Promise<boolean> => (await runCli(['status', 'orders'], { env: settings })).code === 5;

it('a table that is being removed is not taken for one that is replicated', async () => {
  // Accepted while no worker runs: the phase says nothing of it.
  expect((await add('orders', '--no-wait')).code).toBe(0);
  expect((await runCli(['remove', 'orders', '--yes'], { env: settings })).code).toBe(6);
  const early = await add('orders', '--no-wait');
  expect(early.stderr).toContain('public.orders is being removed, as soon as a worker runs.');
  expect(early.stderr).toContain('pg2click status public.orders');
  expect(early.code).toBe(5);
  const planned = await add('order*', '--yes');
  expect(planned.stderr).toContain('public.orders is being removed');
  expect(planned.code).toBe(5);

  const worker = startCli(['worker'], { env: settings });
  await waitFor(isGone, { deadlineMs: 60_000, what: 'the removal', everyMs: 300 });
  expect((await add('orders')).code).toBe(0);

  // And one that waits for a reader of the table.
  const reader = await connectOwner(settings);
  await reader.query(`begin; select from orders`);
  const removal = startCli(['remove', 'orders', '--yes'], { env: settings });
  await waitFor(async () => (await readStatus(settings, 'orders'))?.phase === 'removing', {
    deadlineMs: 30_000,
    what: 'the removal to begin',
    everyMs: 300,
  });
  for (const options of [['--no-wait'], [], ['--capture', 'wal']]) {
    const late = await add('orders', ...options);
    expect(late.stderr).toContain('public.orders is being removed.');
    expect(late.code).toBe(5);
  }
  await reader.query('rollback');
  await reader.end();
  expect((await removal.ended).code).toBe(0);
  expect((await add('orders')).code).toBe(0);
  worker.process.kill('SIGTERM');
  await worker.ended;
});
