import type pg from 'pg';
import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { waitFor } from '../support/stack.js';

/** `TimeoutStopSec` of deploy/systemd and `stop_grace_period` of docker-compose.yml are above what a worker takes itself. */
const WORKER_TAKES_AT_MOST_MS = 60_000;
const ROWS = 80_000;

// Processes are started one after the other.
vi.setConfig({ testTimeout: 180_000 });

let settings: CliSettings;
let client: pg.Client;

beforeAll(async () => {
  settings = await freshSettings();
  client = await connectOwner(settings);
  await client.query(/* sql */ `create table orders (id bigint primary key, note text)`);
  return () => client.end();
});

async function stages(): Promise<{ stage: string; rows: string; pending: unknown }[]> {
  const found = await client.query<{ stage: string; rows: string; pending: unknown }>(
    /* sql */ `select stage, rows::text, pending from pg2click.stage where stage <> 'copy' order by stage`,
  );
  return found.rows;
}

it('a worker that gets SIGTERM in the middle of moving confirms the batches in hand and exits 0, and the next goes on', async () => {
  const worker = startCli(['worker'], { env: settings });
  expect((await runCli(['init'], { env: settings })).code).toBe(0);
  expect((await runCli(['add', 'orders'], { env: settings })).code).toBe(0);
  await client.query(/* sql */ `insert into orders select i, repeat('x', 100) from generate_series(1, ${ROWS}) i`);
  await waitFor(async () => (await stages()).some(({ stage, rows }) => stage === 'load:main' && Number(rows) > 0), {
    deadlineMs: 60_000,
    what: 'the first batch to be loaded',
    everyMs: 5,
  });
  const moving = await stages();

  const askedAt = Date.now();
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  const tookMs = Date.now() - askedAt;
  expect(tookMs).toBeLessThan(WORKER_TAKES_AT_MOST_MS);
  const after = await stages();
  expect(after.map(({ stage, pending }) => ({ stage, pending }))).toEqual([
    { stage: 'load:main', pending: null },
    { stage: 'publish', pending: null },
  ]);
  // It was in the middle: a batch was in hand, and not everything was done.
  expect(moving.some(({ pending }) => pending !== null)).toBe(true);
  expect(after.some(({ rows }) => Number(rows) < ROWS)).toBe(true);

  startCli(['worker'], { env: settings });
  await waitFor(async () => (await stages()).every(({ rows }) => Number(rows) === ROWS), {
    deadlineMs: 60_000,
    what: 'the rest to be moved, each row once',
    everyMs: 100,
  });
});
