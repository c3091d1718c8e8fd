import { createServer } from 'node:net';
import { beforeAll, expect, it, vi } from 'vitest';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { METRICS, METRIC_NAMES, type Metric } from '../../src/observe/metrics.js';
import { TEMPORAL_METRICS } from '../../src/observe/metrics-page.js';
import { loadSettings } from '../../src/settings/settings.js';
import { runCli, startCli, type CliRun } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { waitFor } from '../support/stack.js';
import { scrape, type Sample } from '../../dev/metrics/scrape.js';
import { freePort } from '../support/worker-endpoints.js';

// Processes are started one after the other, and the collector looks every 15 seconds.
vi.setConfig({ testTimeout: 180_000 });

let settings: CliSettings;

beforeAll(async () => {
  settings = await freshSettings();
  await sql(/* sql */ `create table orders (id bigint primary key, note text);
    insert into orders select i, 'a private note' from generate_series(1, 500) i`);
});

async function sql(statement: string): Promise<void> {
  const client = await connectOwner(settings);
  await client.query(statement);
  await client.end();
}

/** Only once it can no longer fail on its own does a worker with this address serve it. */
async function startWorker(port: number): Promise<CliRun> {
  const worker = startCli(['worker'], { env: { ...settings, PG2CLICK_METRICS: `localhost:${port}` } });
  await waitFor(() => worker.output().includes('worker started'), { deadlineMs: 60_000, what: 'the worker to start' });
  return worker;
}

function find(samples: readonly Sample[], name: string, labels: Record<string, string>): number | undefined {
  return samples.find(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )?.value;
}

it('a worker offers Temporal’s metrics and ours, named and labelled as the table says, at one address', async () => {
  const port = await freePort();
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
  const worker = await startWorker(port);
  const table = { pipeline: settings['PG2CLICK_PIPELINE'] ?? '', table: 'public.orders' };
  const until = (what: string, holds: (samples: readonly Sample[]) => boolean): Promise<readonly Sample[]> =>
    waitFor(
      async (see) => {
        const samples = await scrape(port);
        see(samples.filter(({ name }) => name.startsWith('pg2click_')).map((each) => JSON.stringify(each)));
        return holds(samples) ? samples : undefined;
      },
      { deadlineMs: 60_000, what, everyMs: 250 },
    );

  expect((await runCli(['add', 'orders'], { env: settings })).code).toBe(0);
  await sql(/* sql */ `update orders set note = note || '!' where id <= 120`);
  await until(
    '120 rows loaded, as counted',
    (samples) => find(samples, 'pg2click_rows_total', { ...table, stage: 'load:main' }) === 120,
  );
  const streaming = await until(
    'the collector to look',
    (samples) => find(samples, 'pg2click_table_phase', { ...table, phase: 'streaming' }) === 1,
  );
  expect(find(streaming, 'pg2click_rows_total', { ...table, stage: 'publish' })).toBe(120);
  expect(find(streaming, 'pg2click_rows_total', { ...table, stage: 'copy' })).toBe(500);
  expect(find(streaming, 'pg2click_lag_rows', { ...table, stage: 'load:main' })).toBe(0);
  expect(find(streaming, 'pg2click_parked', { ...table, kind: 'none' })).toBe(0);
  expect(find(streaming, 'pg2click_batch_duration_seconds_count', { stage: 'load:main' })).toBeGreaterThan(0);
  for (const server of ['postgresql', 'kafka', 'clickhouse', 'temporal'])
    expect(find(streaming, 'pg2click_server_reachable', { server }), server).toBe(1);
  expect(find(streaming, 'pg2click_worker_info', { role: 'all' })).toBe(1);
  expect(find(streaming, 'pg2click_worker_cpu_seconds', {})).toBeGreaterThan(0.1);
  expect(find(streaming, 'pg2click_worker_memory_bytes', {})).toBeGreaterThan(50e6);
  expect(find(streaming, 'temporal_activity_schedule_to_start_latency_seconds_count', {})).toBeGreaterThan(0);

  // The target is taken away: loading parks.
  const target = `${settings['CH_DB']}.orders`;
  await clickhouse(`drop table ${target} sync`);
  await sql(/* sql */ `update orders set note = note || '?' where id <= 5`);
  const parked = await until(
    'the park to be told',
    (samples) => find(samples, 'pg2click_parked', { ...table, kind: 'SinkSetBack' }) === 1,
  );
  expect(find(parked, 'pg2click_parked', { ...table, kind: 'none' })).toBeNaN();
  expect(find(parked, 'pg2click_table_phase', { ...table, phase: 'parked' })).toBe(1);
  expect(find(parked, 'pg2click_table_phase', { ...table, phase: 'streaming' })).toBeNaN();
  expect(find(parked, 'pg2click_slice_failures_total', { ...table, task: 'load:main', kind: 'SinkSetBack' })).toBe(1);
  await until(
    'the lag of the parked stage to be told, and to grow',
    (samples) => (find(samples, 'pg2click_lag_seconds', { ...table, stage: 'load:main' }) ?? 0) > 1,
  );

  // Every name that is served is in the table, with those labels; every name of the table is served, but what never happened.
  const samples = await scrape(port);
  const served = new Map(
    samples
      .filter(({ name }) => name.startsWith('pg2click_'))
      .map(({ name, labels }) => [name.replace(/_(?:bucket|sum|count)$/u, ''), labels]),
  );
  expect(METRIC_NAMES.filter((name) => !served.has(name))).toEqual([
    // Of ways that this table does not go.
    'pg2click_error_messages',
    // Only while a copy runs.
    'pg2click_copy_bytes',
    'pg2click_copy_done_bytes',
    'pg2click_retention_late',
    'pg2click_replay_waiting',
    'pg2click_slot_retained_bytes',
    'pg2click_slot_safe_bytes',
    'pg2click_wal_budget_ratio',
    'pg2click_detached',
    'pg2click_settle_seconds',
    'pg2click_gap_ranges',
    'pg2click_given_up_ids',
    'pg2click_resent_rows_total',
    'pg2click_schema_changes_total',
  ]);
  for (const [name, labels] of served) {
    const metric = (METRICS as Readonly<Record<string, Metric>>)[name];
    expect(metric, name).toBeDefined();
    expect(
      Object.keys(labels)
        .filter((label) => label !== 'le')
        .toSorted(),
      name,
    ).toEqual([...(metric?.labels ?? [])].toSorted());
  }
  const base = new Set(samples.map(({ name }) => name.replace(/_(?:bucket|sum|count)$/u, '')));
  const absent = Object.entries(TEMPORAL_METRICS).filter(([name]) => !base.has(name));
  expect(absent.filter(([, meaning]) => !meaning.includes('absent until one does'))).toEqual([]);
  expect(JSON.stringify(samples)).not.toContain('private');
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it.each(['PG2CLICK_METRICS', 'PG2CLICK_HEALTH'])(
  'a port that is taken is one sentence that names %s',
  async (setting) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = taken.address() as { port: number };
      const { code, stderr } = await runCli(['worker'], { env: { ...settings, [setting]: `127.0.0.1:${port}` } });
      expect(stderr).toContain(
        `Cannot listen on 127.0.0.1:${port} (${setting}): another process listens there already.`,
      );
      expect(stderr).not.toContain('    at ');
      expect(code).toBe(2);
    } finally {
      taken.close();
    }
  },
);

async function clickhouse(statement: string): Promise<void> {
  const client = connectClickHouse(loadSettings({ env: settings, envFile: false, stackFile: false }));
  try {
    await client.command({ query: statement });
  } finally {
    await client.close();
  }
}
