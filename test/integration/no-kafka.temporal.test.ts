import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli, type CliResult } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { readStatus } from '../support/read-status.js';
import { waitFor } from '../support/stack.js';
import { scrape } from '../../dev/metrics/scrape.js';
import { freePort, probe, type Readiness } from '../support/worker-endpoints.js';

// Many processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

/** All servers but Kafka. Nothing listens where one is by default. */
let settings: CliSettings;

beforeAll(async () => {
  const { KAFKA_BOOTSTRAP: _none, ...rest } = await freshSettings();
  settings = rest;
});

async function sql(statement: string): Promise<void> {
  const client = await connectOwner(settings);
  await client.query(statement);
  await client.end();
}

const run = (args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(args, { env: { ...settings, ...env } });

it('a table is added, followed and removed where there is no Kafka, by a worker that only produces', async () => {
  const init = await run(['init']);
  expect(init.stdout).toMatch(/^– Kafka +not configured: tables can go directly \(--transport direct\)$/mu);
  expect(init.stderr).toContain('Ready.');
  expect(init.code).toBe(0);

  const [health, metrics] = [await freePort(), await freePort()];
  const worker = startCli(['worker', '--role', 'producer'], {
    env: { ...settings, PG2CLICK_HEALTH: `127.0.0.1:${health}`, PG2CLICK_METRICS: `127.0.0.1:${metrics}` },
  });
  const ready = await waitFor(
    async (see) => {
      see(worker.output());
      const probed = await probe<Readiness>(health, '/readyz').catch(() => undefined);
      return probed?.status === 200 ? probed : undefined;
    },
    { deadlineMs: 60_000, what: 'the worker to be ready', everyMs: 250 },
  );
  expect(ready.body).toEqual({ ready: true, worker: 'polling', problems: [] });

  await sql(/* sql */ `create table orders (id int primary key, note text);
    insert into orders select i, 'a note' from generate_series(1, 500) i`);
  const refused = await run(['add', 'orders']);
  expect(refused.stderr).toMatch(
    /^error: public\.orders would go through Kafka: Kafka at localhost:9092 .* Nothing was changed\.$/mu,
  );
  expect(refused.stderr).toContain('Do without: pg2click add public.orders --transport direct; or set KAFKA_BOOTSTRAP');
  expect(refused.code).toBe(3);

  const added = await run(['add', 'orders', '--transport', 'direct', '--json']);
  expect(JSON.parse(added.stdout)).toMatchObject({
    table: { table: 'public.orders', phase: 'streaming', copiedRows: 500, topic: null, failure: null },
  });
  expect(added.code).toBe(0);
  // The same, by a setting.
  await sql(/* sql */ `create table lines (id int primary key); insert into lines values (1)`);
  expect(await run(['add', 'lines', '--no-wait'], { PG2CLICK_TRANSPORT: 'direct' })).toMatchObject({ code: 0 });

  await sql(/* sql */ `update orders set note = note || '!' where id <= 100; delete from orders where id = 500`);
  const status = await waitFor(
    async (see) => {
      const view = await readStatus(settings, 'orders');
      see(view);
      return view !== undefined && view.loadedRows >= 101 ? view : undefined;
    },
    { deadlineMs: 30_000, what: '101 changes in ClickHouse', everyMs: 200 },
  );
  expect(status).toMatchObject({ waiting: 0 });
  const shown = await run(['status', 'orders']);
  expect(shown.stdout).not.toContain('No worker');
  expect(shown.code).toBe(0);

  // It was probed several times by now: Kafka is nobody's problem.
  expect((await probe<Readiness>(health, '/readyz')).body).toEqual({ ready: true, worker: 'polling', problems: [] });
  const samples = await scrape(metrics);
  expect(
    samples.filter(({ name }) => name === 'pg2click_server_reachable').map(({ labels }) => labels['server']),
  ).toEqual(expect.not.arrayContaining(['kafka']));

  const removed = await run(['remove', 'orders', '--yes', '--drop-target']);
  expect(removed.stdout).toContain('public.orders is removed');
  expect(removed.code).toBe(0);
  const kafkaLines = worker
    .output()
    .split('\n')
    .filter((line) => /kafka/iu.test(line));
  expect(kafkaLines).toHaveLength(1);
  expect(kafkaLines[0]).toContain('Kafka: not configured: tables can go directly (--transport direct)');
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('a Kafka that a table goes through is missed, though nobody wrote where it is', async () => {
  await sql(/* sql */ `create table through (id int primary key)`);
  // Where only the workers reach it, a person may know better.
  expect(await run(['add', 'through', '--no-wait'])).toMatchObject({ code: 0 });
  const port = await freePort();
  const worker = startCli(['worker'], { env: { ...settings, PG2CLICK_HEALTH: `127.0.0.1:${port}` } });
  await waitFor(
    async (see) => {
      const probed = await probe<Readiness>(port, '/readyz').catch(() => undefined);
      see(probed?.body);
      return probed?.body.problems.some(({ what }) => what === 'kafka');
    },
    { deadlineMs: 60_000, what: 'the loss of Kafka to be noticed', everyMs: 250 },
  );
  const init = await run(['init']);
  expect(init.stdout).toMatch(/^✖ Kafka +Kafka at localhost:9092 /mu);
  expect(init.code).toBe(3);
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});
