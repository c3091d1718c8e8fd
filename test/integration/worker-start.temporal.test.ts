import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { startCli, type CliRun } from '../support/cli.js';
import { freshSettings } from '../support/cli-settings.js';
import { openSite, output, stop, type Site } from '../support/deployments.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { openProxy } from '../../dev/network/proxy.js';
import { environmentOf } from '../support/clients.js';
import { addressOf, waitFor } from '../support/stack.js';

// Dozens of processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

const workers: CliRun[] = [];

afterEach(async () => {
  await Promise.all(workers.splice(0).map(stop));
});

function start(site: Site, env: Record<string, string> = {}, ...args: readonly string[]): CliRun {
  const worker = startCli(['worker', ...args], { env: { ...site.settings, ...env } });
  workers.push(worker);
  return worker;
}

async function addOrders(site: Site): Promise<void> {
  await site.sql(/* sql */ `create table orders (id int primary key, note text); insert into orders values (1, 'a')`);
  expect(await site.run('add', 'orders')).toMatchObject({ code: 0 });
}

it('a worker that a server refuses exits with 2 and one sentence, and polls nothing', async () => {
  const site = await openSite(await freshSettings());
  const good = start(site);
  await output(good, 'worker started');
  await addOrders(site);
  for (const [env, sentence] of [
    [{ PG_PASSWORD: 'wrong' }, 'does not let the role'],
    [{ CH_PASSWORD: 'wrong' }, 'does not let the user "default" in with this password.'],
    [
      { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'someone', KAFKA_SASL_PASSWORD: 'wrong' },
      'asks for no user on this port.',
    ],
    [{ PG_DB: 'nowhere' }, 'has no database "nowhere".'],
  ] as const) {
    const refused = await start(site, env).ended;
    const errors = refused.stderr.split('\n').filter((line) => line.startsWith('error:'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(sentence);
    expect(refused.stderr).not.toContain('worker started');
    expect(refused.code).toBe(2);
  }
  expect(await site.status('orders')).toMatchObject({ phase: 'streaming', failure: null });
});

it('a worker whose Kafka and ClickHouse do not answer says so, and polls', async () => {
  const site = await openSite(await freshSettings());
  const worker = start(site, { KAFKA_BOOTSTRAP: '127.0.0.1:1', CH_PORT: '1' });
  await output(worker, 'worker started');
  const warnings = worker
    .output()
    .split('\n')
    .filter((line) => line.includes('"level":"warn"'))
    .map((line) => JSON.parse(line) as { server?: string; kind?: string });
  expect(warnings).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ server: 'Kafka', kind: 'BrokerUnavailable' }),
      expect.objectContaining({ server: 'ClickHouse', kind: 'SinkUnavailable' }),
    ]),
  );
});

it('a worker whose PostgreSQL does not answer waits for it, and SIGTERM ends the wait', async () => {
  const site = await openSite(await freshSettings());
  const { host, port } = addressOf('postgres');
  const proxy = await openProxy({ host, port });
  onTestFinished(() => proxy.close());
  await proxy.refuse();
  const elsewhere = { PG_HOST: proxy.host, PG_PORT: String(proxy.port) };
  const waiting = start(site, elsewhere);
  await output(waiting, 'The worker begins when it answers.');
  const ended = Date.now();
  expect(await stop(waiting)).toMatchObject({ code: 0 });
  expect(Date.now() - ended).toBeLessThan(5_000);
  expect(waiting.output()).not.toContain('worker started');

  const worker = start(site, elsewhere);
  await output(worker, 'The worker begins when it answers.');
  await proxy.pass();
  await output(worker, 'worker started');
});

it('a worker that knows an old password parks nothing, and the table goes on where another knows the new one', async () => {
  const site = await openSite(await freshSettings());
  const old = start(site);
  await output(old, 'worker started');
  await addOrders(site);
  const role = site.settings['PG_USER'] ?? '';
  await site.sql(/* sql */ `alter role ${role} password 'rotated'`);
  await site.sql(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
  const after = await openSite({ ...site.settings, PG_PASSWORD: 'rotated' });
  const retried = await after.until('orders', 'a refused login', ({ failure }) => failure?.kind === 'LoginRefused');
  expect(retried).toMatchObject({ phase: 'streaming', failure: { retrying: true } });
  const fresh = start(after);
  await output(fresh, 'worker started');
  await after.sql(/* sql */ `insert into orders values (2, 'b')`);
  await waitFor(async () => (await after.notes('orders')).join() === 'a,b', {
    deadlineMs: 90_000,
    what: 'the row in ClickHouse',
    everyMs: 500,
  });
  expect(await after.status('orders')).toMatchObject({ phase: 'streaming' });
});

it('a worker on another ClickHouse parks nothing, and one that would begin there is refused', async () => {
  const site = await openSite(await freshSettings());
  const stateDir = ownStateDir();
  const { stack } = await ownStack(stateDir, ['clickhouse']);
  const elsewhere = environmentOf({ clickhouse: { ...stack.addresses.clickhouse, database: 'default' } });
  // It begins before there is a table, so that nothing tells that it is on the wrong server.
  const wrong = start(site, elsewhere, '--role', 'consumer');
  await output(wrong, 'worker started');
  const producer = start(site, {}, '--role', 'producer');
  await output(producer, 'worker started');
  await site.sql(/* sql */ `create table orders (id int primary key, note text); insert into orders values (1, 'a')`);
  await site.run('add', 'orders', '--no-wait');
  const refused = await site.until(
    'orders',
    'the wrong worker beside a table that goes on',
    ({ phase, failure }) => phase === 'streaming' && failure?.kind === 'WrongWorker',
  );
  const own = await site.sql<{ server: string }>(/* sql */ `
    select definition #>> '{route,loaders,0,server}' as server from pg2click.replicated_table`);
  expect(refused.failure?.message).toContain(`was made on the ClickHouse server ${own[0]?.server}`);
  expect(refused.failure?.message).toContain(`this worker is connected to ${stateDir}`);
  await site.sql(/* sql */ `insert into orders values (2, 'b')`);
  await stop(wrong);
  const right = start(site, {}, '--role', 'consumer');
  await output(right, 'worker started');
  await waitFor(async () => (await site.notes('orders')).join() === 'a,b', {
    deadlineMs: 60_000,
    what: 'the row in ClickHouse',
    everyMs: 500,
  });

  const late = await start(site, elsewhere).ended;
  expect(late.stderr).toContain(`were made on the ClickHouse server ${own[0]?.server}`);
  expect(late.stderr).not.toContain('worker started');
  expect(late.code).toBe(2);
  const meant = start(site, elsewhere, '--role', 'consumer', '--new-clickhouse');
  await output(meant, 'worker started');
});
