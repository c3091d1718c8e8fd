import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import type { WorkerProcess } from '../../dev/demo/worker-process.js';
import { openHarness, type Harness } from '../support/harness.js';
import { createLatencyTable, LATENCY_TABLE, measureLatency } from '../support/latency-row.js';
import { proxied, type Proxies } from '../../dev/network/proxied.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

/** How often each way is measured. */
const RUNS = Number(process.env['PG2CLICK_TAKE_OVER_RUNS'] ?? 1);
/** Temporal misses a heartbeat after 10 s. What is faster was noticed by the lock. */
const HEARTBEAT_MS = 10_000;
const DEADLINE_MS = 60_000;

let harness: Harness;
let proxies: Proxies;
let second: WorkerProcess | undefined;
let tableId: string;

beforeAll(async () => {
  const addresses = {
    postgres: await freshDatabase('takeover'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('takeover'),
    temporal: addressOf('temporal'),
  };
  const through = await proxied(addresses);
  proxies = through.proxies;
  harness = await openHarness(addresses, through.addresses);
  await withSource(createLatencyTable);
  [tableId = ''] = await harness.add(LATENCY_TABLE);
});
afterAll(async () => {
  await harness?.close();
  for (const proxy of Object.values(proxies ?? {})) await proxy.close();
});

/** Why Temporal gave the slices that run to their worker. */
const lastFailures = async (): Promise<readonly unknown[]> =>
  ((await harness.describe(LATENCY_TABLE))?.pending ?? []).map(({ failure }) => failure);
const NO_LOCK = expect.objectContaining({
  kind: 'WorkerLost',
  message: expect.stringContaining('does not hold its lock') as string,
}) as unknown;

/** The first worker alone has the table. */
beforeEach(async () => {
  for (const proxy of Object.values(proxies)) await proxy.pass();
  await harness.worker.start();
  await second?.kill();
  await firstHasAll();
});

const withSource = async <T>(work: (pg: Client) => Promise<T>): Promise<T> => {
  const pg = await harness.connect();
  try {
    return await work(pg);
  } finally {
    await pg.end();
  }
};
const firstHasAll = (): Promise<true> =>
  waitFor(
    async () => {
      const { publisher, loader } = await harness.progress(tableId);
      return (publisher === harness.worker.pid && loader === harness.worker.pid) || undefined;
    },
    { deadlineMs: DEADLINE_MS, what: 'the first worker to have the table', everyMs: 100 },
  );
const startSecond = async (): Promise<WorkerProcess> => {
  if (second === undefined) second = await harness.startWorker();
  else await second.start();
  const { pid } = second;
  await waitFor(async () => (await readWorkers()).some(({ name }) => name.split('/')[1] === String(pid)), {
    deadlineMs: DEADLINE_MS,
    what: 'the second worker',
  });
  return second;
};
const readWorkers = (): Promise<readonly { id: number; name: string }[]> =>
  withSource(
    async (pg) =>
      (await pg.query<{ id: number; name: string }>(/* sql */ `select id, name from pg2click.worker order by id`)).rows,
  );
const settle = async (): Promise<void> => {
  expect((await harness.settle(DEADLINE_MS)).filter((each) => !isEqual(each))).toEqual([]);
  expect(harness.deaths).toEqual([]);
};
/** Measures how long a row waits that is written right after `destroy`. @returns the longest time, milliseconds */
async function measure(what: string, destroy: () => Promise<unknown>, mend: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let run = 1; run <= RUNS; run += 1) {
    await firstHasAll();
    await measureLatency(harness, DEADLINE_MS);
    const startedAt = performance.now();
    await destroy();
    await measureLatency(harness, DEADLINE_MS);
    times.push(Math.round(performance.now() - startedAt));
    await mend();
  }
  console.log(JSON.stringify({ takeOver: what, milliseconds: times.toSorted((a, b) => a - b) }));
  await settle();
  return Math.max(...times);
}

const gone = (name: string | undefined): Promise<true> =>
  waitFor(async () => !(await readWorkers()).some((each) => each.name === name) || undefined, {
    deadlineMs: DEADLINE_MS,
    what: `${name ?? 'no name'} to be forgotten`,
  });
const nameOf = async ({ pid }: WorkerProcess): Promise<string> =>
  (await readWorkers()).find(({ name }) => name.split('/')[1] === String(pid))?.name ?? '';

describe('a worker that is gone is missed by its lock, before any heartbeat', { timeout: 60_000 * (RUNS + 2) }, () => {
  const backToFirst = async (): Promise<void> => {
    await harness.worker.kill();
    await harness.worker.start();
    await second?.kill();
    await firstHasAll();
    await startSecond();
  };

  it('killed beside another: the other takes over', async () => {
    await startSecond();
    const longest = await measure('killed, another runs', () => harness.worker.kill(), backToFirst);
    expect(longest).toBeLessThan(HEARTBEAT_MS);
    expect(await lastFailures()).toEqual([NO_LOCK, NO_LOCK]);
  });

  it('killed as the only one, and started again: the new process takes over', async () => {
    let name = '';
    await measure(
      'killed and started again',
      async () => {
        name = await nameOf(harness.worker);
        await harness.worker.kill();
        await harness.worker.start();
      },
      () => gone(name),
    );
  });

  it('frozen: the session that holds its lock is silent, and PostgreSQL ends it', async () => {
    await startSecond();
    let name = '';
    await measure(
      'frozen, another runs',
      async () => {
        name = await nameOf(harness.worker);
        process.kill(harness.worker.pid ?? 0, 'SIGSTOP');
      },
      async () => {
        await gone(name);
        await backToFirst();
      },
    );
  });

  it('cut off from the network: the same', async () => {
    await startSecond();
    let name = '';
    await measure(
      'cut off from all servers, another runs',
      async () => {
        name = await nameOf(harness.worker);
        for (const proxy of Object.values(proxies)) proxy.freeze();
      },
      async () => {
        await gone(name);
        for (const proxy of Object.values(proxies)) await proxy.pass();
        await backToFirst();
      },
    );
  });
});

describe('a worker that lives', () => {
  const attempts = async (): Promise<readonly number[]> =>
    ((await harness.describe(LATENCY_TABLE))?.pending ?? []).map(({ attempt }) => attempt);

  it('takes its lock again when it has lost the connection, and keeps its slices', async () => {
    await startSecond();
    const attempt = await attempts();
    const before = await waitFor(
      async () => {
        const workers = await readWorkers();
        return workers.length === 2 ? workers : undefined;
      },
      { deadlineMs: DEADLINE_MS, what: 'two workers' },
    );
    for (let round = 1; round <= 5; round += 1) {
      const known = await readWorkers();
      await withSource((pg) =>
        pg.query(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'pg2click worker lock'`),
      );
      await waitFor(
        async () => {
          const now = await readWorkers();
          return (now.length === 2 && now.every(({ id }) => known.every((each) => each.id < id))) || undefined;
        },
        { deadlineMs: DEADLINE_MS, what: 'both workers to have their locks again' },
      );
      await measureLatency(harness, DEADLINE_MS);
    }
    const names = (await readWorkers()).map(({ name }) => name);
    expect(names.toSorted()).toEqual(before.map(({ name }) => name).toSorted());
    expect(await attempts()).toEqual(attempt);
    await settle();
  });
});
