import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import { listTables } from '../../src/control/list-tables.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../../src/domain/search-attributes.js';
import { loadSettings } from '../../src/settings/settings.js';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { readStatus } from '../support/read-status.js';
import { waitFor } from '../support/stack.js';

vi.setConfig({ testTimeout: 240_000 });

/** Its namespace has the ten attributes of type Keyword that it may have, and as many numbers: none is ours. */
let settings: CliSettings;
let temporal: TemporalClient;
let namespace: string;

const registered = async (): Promise<Readonly<Record<string, number>>> =>
  (await temporal.operator.listSearchAttributes({ namespace })).customAttributes;

beforeAll(async () => {
  settings = await freshSettings();
  temporal = await connectTemporal(loadSettings({ env: settings, envFile: false, stackFile: false }));
  ({ namespace } = temporal.client.options);
  for (const [type, name] of [
    [2, 'Keyword'],
    [3, 'Number'],
  ] as const) {
    const there = Object.values(await registered()).filter((each) => each === type).length;
    for (let n = there; n < TAKEN[type]; n += 1)
      await temporal.operator.addSearchAttributes({ namespace, searchAttributes: { [`${name}${n}`]: type } });
  }
});
afterAll(() => temporal.close());

/** Of each type, by its number: all that a server with SQL allows. */
const TAKEN = { 2: 10, 3: 3 } as const;

it('a table is added, followed, paused, resumed and removed where there is room for no search attribute', async () => {
  const owner = await connectOwner(settings);
  await owner.query(/* sql */ `create table orders (id bigint primary key, note text);
    insert into orders select i, 'a' from generate_series(1, 100) i`);
  const init = await runCli(['init'], { env: settings });
  expect(init.stdout).toContain(
    `! Tables go on without search attributes that Temporal namespace "${namespace}" lacks`,
  );
  expect(init.stdout).toContain('→ To filter lists of Temporal by them, give pg2click a namespace of its own');
  expect(init.stderr).toContain('Ready. Next:');
  expect(init.code).toBe(0);

  const worker = startCli(['worker'], { env: settings });
  await waitFor(() => Promise.resolve(worker.output().includes('worker started')), {
    deadlineMs: 60_000,
    what: 'the worker to start',
  });
  expect(worker.output()).toContain('Tables go on without search attributes');

  const added = await runCli(['add', 'orders'], { env: { ...settings, PG2CLICK_SLICE_MS: '1000' } });
  expect(added.code).toBe(0);
  const phaseIs = async (phase: string): Promise<void> =>
    waitFor(async () => (await listTables(temporal.client)).some((each) => each.phase === phase), {
      deadlineMs: 60_000,
      what: `the phase ${phase} in the list`,
    }).then(() => undefined);
  await phaseIs('streaming');
  expect(await listTables(temporal.client)).toMatchObject([
    { pipeline: settings['PG2CLICK_PIPELINE'], table: 'public.orders', failureKind: undefined },
  ]);
  await owner.query(/* sql */ `update orders set note = 'b' where id <= 10`);
  await waitFor(async () => ((await readStatus(settings, 'orders'))?.loadedRows ?? 0) >= 10, {
    deadlineMs: 30_000,
    what: 'the changes in ClickHouse',
    everyMs: 200,
  });
  const again = await runCli(['add', 'orders'], { env: settings });
  expect(again.stderr).toContain('public.orders is replicated already; nothing was changed.');

  expect((await runCli(['pause', 'orders'], { env: settings })).code).toBe(0);
  await phaseIs('paused');
  worker.process.kill('SIGTERM');
  await worker.ended;
  // No worker answers: what the table shows is in its memo.
  expect(await readStatus(settings, 'orders')).toMatchObject({ phase: 'paused', answering: false });
  const next = startCli(['worker'], { env: settings });
  await waitFor(() => Promise.resolve(next.output().includes('worker started')), {
    deadlineMs: 60_000,
    what: 'the next worker to start',
  });
  expect((await runCli(['resume', 'orders'], { env: settings })).code).toBe(0);
  await owner.query(/* sql */ `update orders set note = 'c' where id <= 20`);
  await waitFor(async () => ((await readStatus(settings, 'orders'))?.loadedRows ?? 0) >= 30, {
    deadlineMs: 30_000,
    what: 'the changes after the pause in ClickHouse',
    everyMs: 200,
  });

  // Somebody makes room: a running worker takes it, and its tables say so with their next slices.
  const others = Object.keys(await registered());
  expect(others).not.toEqual(expect.arrayContaining([SEARCH_ATTRIBUTE_NAMES[0]]));
  await temporal.operator.removeSearchAttributes({ namespace, searchAttributes: others.slice(0, 5) });
  expect((await runCli(['init'], { env: settings })).stdout).toContain('Temporal');
  await waitFor(
    async () =>
      (await temporal.client.workflow.count('Pg2clickPhase = "streaming"').catch(() => undefined))?.count === 1,
    { deadlineMs: 60_000, what: 'the phase among the search attributes' },
  );
  await waitFor(
    async () =>
      Object.keys(
        (
          await temporal.client.workflow
            .getHandle(`replicate/${settings['PG2CLICK_PIPELINE']}/public.orders`)
            .describe()
        ).memo ?? {},
      ).length === 0,
    { deadlineMs: 30_000, what: 'the memo to be empty' },
  );

  const removed = await runCli(['remove', 'orders', '--yes'], { env: settings });
  expect(removed.code).toBe(0);
  expect(await readStatus(settings, 'orders').catch(() => undefined)).toBeUndefined();
  await owner.end();
});
