import { beforeAll, expect, it, vi } from 'vitest';
import { connectPostgres } from '../../src/connect/postgres.js';
import { connectTemporal } from '../../src/connect/temporal.js';
import { startTable } from '../../src/control/start-table.js';
import { taskQueuesOf } from '../../src/domain/deployment.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { loadSettings } from '../../src/settings/settings.js';
import { readDeployment } from '../../src/source/deployment.js';
import { runCli, startCli, type CliRun } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { roleScriptFor } from '../support/least-role.js';
import { readStatus } from '../support/read-status.js';
import { readerRoleOf, waitFor } from '../support/stack.js';

// Dozens of processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

let settings: CliSettings;

beforeAll(async () => {
  settings = await freshSettings();
  await sql(/* sql */ `create table orders (id bigint primary key, note text);
    insert into orders select i, 'a private note' from generate_series(1, 5000) i;
    analyze orders`);
});

async function sql(statement: string): Promise<void> {
  const client = await connectOwner(settings);
  await client.query(statement);
  await client.end();
}

/** Starts a table past the checks of `add`. */
async function startByHand(table: string, options: TableOptions): Promise<void> {
  const all = loadSettings({ env: settings, envFile: false, stackFile: false });
  const [temporal, pg] = await Promise.all([connectTemporal(all), connectPostgres(all, { name: 'test' })]);
  const { id } = await readDeployment(pg, all.pipeline);
  const taskQueue = taskQueuesOf(id).workflow;
  await startTable(temporal.client, { pipeline: all.pipeline, schema: 'public', table, options, taskQueue });
  await Promise.all([temporal.close(), pg.end()]);
}

async function startWorker(): Promise<CliRun> {
  // It starts on a ledger only.
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
  const worker = startCli(['worker'], { env: { ...settings, PG2CLICK_LOG_LEVEL: 'debug' } });
  await waitFor(
    (see) => {
      see(worker.output());
      return worker.output().includes('worker started');
    },
    { deadlineMs: 60_000, what: 'the worker to start' },
  );
  return worker;
}

/** Nothing that the worker says at its most talkative holds a value of a row, or a secret. */
function expectDiscretion(worker: CliRun): void {
  expect(worker.output()).not.toContain('private note');
  expect(worker.output()).not.toContain(settings['PG_PASSWORD']);
  expect(worker.output()).not.toContain(settings['CH_PASSWORD']);
}

it('a table is added, followed, paused, resumed and removed', async () => {
  const worker = await startWorker();

  const added = await runCli(['add', 'orders', '--json'], { env: settings });
  expect(JSON.parse(added.stdout)).toMatchObject({
    started: true,
    table: { table: 'public.orders', phase: 'streaming', copied: true, copiedRows: 5_000, key: ['id'], failure: null },
  });
  expect(added.code).toBe(0);

  const again = await runCli(['add', 'orders'], { env: settings });
  expect(again.stderr).toContain('public.orders is replicated already; nothing was changed.');
  expect(again.code).toBe(0);

  // Options that it does not have are no "done": each is named, and nothing is changed.
  const same = await runCli(['add', 'orders', '--key', 'id', '--target', 'orders', '--no-wait'], { env: settings });
  expect(same.code).toBe(0);
  const other = await runCli(['add', 'orders', '--target', 'other', '--format', 'packed'], { env: settings });
  expect(other.stderr).toContain(
    `public.orders was added before, with other options: its target is ${settings['CH_DB']}.orders, ` +
      `not ${settings['CH_DB']}.other; its format is json, not packed.`,
  );
  expect(other.stderr).toContain('To change its format run pg2click configure public.orders.');
  expect(other.stderr).toContain('To change its target run pg2click remove public.orders, then add it again.');
  expect(other.code).toBe(5);
  // A name that is taken is refused before anything is started.
  await sql(/* sql */ `create table guest (id int primary key)`);
  const taken = await runCli(['add', 'guest', '--target', 'orders'], { env: settings });
  expect(taken.stderr).toContain(
    `The ClickHouse table ${settings['CH_DB']}.orders, which public.guest would have, is that of public.orders of pipeline`,
  );
  expect(taken.stderr).toContain('Choose a name that is free: pg2click add public.guest --target NAME');
  expect(taken.code).toBe(5);
  expect((await runCli(['status', 'guest'], { env: settings })).code).toBe(5);

  await sql(/* sql */ `update orders set note = note || '!' where id <= 100`);
  await waitFor(async () => ((await readStatus(settings, 'orders'))?.loadedRows ?? 0) >= 100, {
    deadlineMs: 30_000,
    what: '100 changes in ClickHouse',
    everyMs: 200,
  });
  expect((await runCli(['status', 'orders', '--trouble'], { env: settings })).code).toBe(2);
  const status = await runCli(['status'], { env: settings });
  expect(status.stdout).toMatch(/public\.orders +● streaming +5,000 +100 +0 /u);
  expect(status.code).toBe(0);

  // A role that may look at the ledger, and at nothing else, sees as much.
  const reader = readerRoleOf(settings['PG_DB'] ?? '');
  await sql(roleScriptFor('postgres-reader.sql', { reader, role: settings['PG_USER'] ?? '' }));
  await sql(/* sql */ `alter role ${reader} password 'reader'`);
  const looked = await runCli(['status'], { env: { ...settings, PG_USER: reader, PG_PASSWORD: 'reader' } });
  expect(looked.stdout).toMatch(/public\.orders +● streaming +5,000 +100 +0 /u);
  expect(looked.code).toBe(0);

  const paused = await runCli(['pause', 'orders', '--reason', 'lunch'], { env: settings });
  expect(paused.stdout).toMatch(/^✔ Paused/u);
  expect(paused.code).toBe(0);
  // A pause travels with a heartbeat: batches may still move for a moment.
  await waitFor(async () => (await readStatus(settings, 'orders'))?.running.length === 0, {
    deadlineMs: 30_000,
    what: 'the running slices to end',
    everyMs: 200,
  });
  await sql(/* sql */ `update orders set note = note || '?' where id <= 30`);
  expect(await readStatus(settings, 'orders')).toMatchObject({
    phase: 'paused',
    paused: { reason: 'lunch' },
    waiting: 30,
    loadedRows: 100,
  });

  expect((await runCli(['resume', 'orders'], { env: settings })).stdout).toMatch(/^✔ Resumed/u);
  await waitFor(async () => ((await readStatus(settings, 'orders'))?.loadedRows ?? 0) >= 130, {
    deadlineMs: 30_000,
    what: 'the changes of the pause in ClickHouse',
    everyMs: 200,
  });

  const removed = await runCli(['remove', 'orders', '--yes', '--drop-target', '--json'], { env: settings });
  const target = `${settings['CH_DB']}.orders`;
  expect(JSON.parse(removed.stdout)).toEqual({
    table: 'public.orders',
    removed: true,
    dropTarget: true,
    exit: 'done',
    dropped: [`${target}_current`, `${target}_floor`, target],
    kept: [],
  });
  expect(removed.code).toBe(0);
  expect((await runCli(['status', 'orders'], { env: settings })).code).toBe(5);

  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expectDiscretion(worker);
});

it('a table that is parked ends status and add with 4, and says what to do', async () => {
  const worker = await startWorker();
  await sql(/* sql */ `create table lines (id int primary key, price int); insert into lines values (1)`);
  expect((await runCli(['add', 'lines'], { env: settings })).code).toBe(0);
  await runCli(['pause', 'lines'], { env: settings });
  await runCli(['resume', 'lines'], { env: settings });
  await sql(/* sql */ `alter table lines alter id type bigint; insert into lines values (2, 3)`);
  await waitFor(async () => (await readStatus(settings, 'lines'))?.phase === 'parked', {
    deadlineMs: 30_000,
    what: 'the park',
    everyMs: 200,
  });

  const status = await runCli(['status', 'lines'], { env: settings });
  expect(status.stdout).toContain('✖ parked');
  expect(status.stdout).toContain('publish is parked (SourceChanged');
  expect(status.stdout).toContain('→ Run pg2click remove public.lines --drop-target, then pg2click add public.lines');
  expect(status.code).toBe(4);
  const added = await runCli(['add', 'lines'], { env: settings });
  expect(added.stderr).toContain('public.lines is parked (SourceChanged)');
  expect(added.code).toBe(4);

  const logged = worker
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ level }) => level === 'info' || level === 'error');
  const about = { table: 'public.lines', pipeline: settings['PG2CLICK_PIPELINE'] };
  const remedy = expect.stringContaining('Run pg2click remove public.lines') as string;
  for (const line of [
    { ...about, level: 'info', msg: 'table prepared', target: `${settings['CH_DB']}.lines` },
    { ...about, level: 'info', msg: 'copy begins' },
    { ...about, level: 'info', msg: 'copy ended', rows: 1 },
    { level: 'info', table: 'public.lines', msg: 'request handled', action: 'resume', changed: true },
  ])
    expect(logged).toContainEqual(expect.objectContaining(line));
  // A park is one line.
  expect(logged.filter(({ level }) => level === 'error')).toEqual([
    expect.objectContaining({ ...about, task: 'publish', kind: 'SourceChanged', remedy }),
  ]);

  // Ctrl-C, as a terminal sends it.
  worker.process.kill('SIGINT');
  expect((await worker.ended).code).toBe(0);
  expectDiscretion(worker);
});

it('a table whose target is taken is refused with the commands that lead out, and pause of one whose workflow was ended says what status says', async () => {
  const worker = await startWorker();
  await sql(/* sql */ `create table owners (id int primary key); create table uniq (id int primary key);
    insert into uniq values (1)`);
  expect((await runCli(['add', 'owners'], { env: settings })).code).toBe(0);
  // As it stands where a table was started by hand, or both were added at once.
  await startByHand('uniq', { target: 'owners' });
  await waitFor(
    async (see) => {
      const seen = await readStatus(settings, 'uniq');
      see(seen);
      return seen?.phase === 'parked';
    },
    { deadlineMs: 90_000, what: 'the park', everyMs: 200 },
  );
  const refused = await runCli(['add', 'uniq', '--target', 'owners'], { env: settings });
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain(`is that of public.owners of pipeline ${settings['PG2CLICK_PIPELINE']}`);
  expect(refused.stderr).toContain('Run pg2click remove public.uniq, then');
  const other = await runCli(['add', 'uniq', '--target', 'other'], { env: settings });
  expect(other.stderr).toContain('public.uniq was added before, with other options: its target is owners, not other.');
  expect(other.stderr).toContain('run pg2click remove public.uniq, then add it again');
  expect(other.code).toBe(5);
  const removed = await runCli(['remove', 'public.uniq', '--drop-target', '--yes'], { env: settings });
  expect(removed.stdout).toContain('public.uniq is removed; nothing was dropped in ClickHouse.');
  const added = await runCli(['add', 'public.uniq', '--target', 'other'], { env: settings });
  expect(added.stderr).toContain('public.uniq is streaming');
  expect(added.code).toBe(0);

  const kept = await runCli(['remove', 'uniq', '--yes'], { env: settings });
  expect(kept.stdout).toContain(
    `nothing was dropped in ClickHouse. ${settings['CH_DB']}.other stays: its removal was not asked for.`,
  );
  expect((await runCli(['remove', '--help'], { env: settings })).stdout).toMatch(/topic\s+stays/u);

  await sql(/* sql */ `create table ended (id int primary key)`);
  expect((await runCli(['add', 'ended'], { env: settings })).code).toBe(0);
  const temporal = await connectTemporal(loadSettings({ env: settings, envFile: false, stackFile: false }));
  await temporal.client.workflow.getHandle(`replicate/${settings['PG2CLICK_PIPELINE']}/public.ended`).terminate();
  await temporal.close();
  expect(await readStatus(settings, 'ended')).toMatchObject({ phase: 'stopped' });
  const { code, stderr } = await runCli(['pause', 'ended'], { env: settings });
  expect(stderr).toContain('public.ended is stopped: its workflow does not run, and changes fill its outbox.');
  expect(stderr).toContain('"pg2click add public.ended" starts it again');
  expect(code).toBe(5);
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('watching ends with Ctrl-C, and that is no failure', async () => {
  const watch = startCli(['status', '--watch', '--json'], { env: settings });
  await waitFor(() => watch.output().split('\n').length > 3, { deadlineMs: 30_000, what: 'a second look' });
  watch.process.kill('SIGINT');
  const { code, stdout } = await watch.ended;
  expect(code).toBe(0);
  for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('tables');
});
