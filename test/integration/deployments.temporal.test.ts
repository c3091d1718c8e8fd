import { afterEach, expect, it, vi } from 'vitest';
import { runCli, type CliRun } from '../support/cli.js';
import { freshSettings } from '../support/cli-settings.js';
import { clickhouse, cloneDatabase, openSite, stop, temporalOf, type Site } from '../support/deployments.js';
import { freshName, waitFor } from '../support/stack.js';

// Dozens of processes are started one after the other, each of which loads itself anew.
vi.setConfig({ testTimeout: 240_000 });

const workers: CliRun[] = [];

afterEach(async () => {
  await Promise.all(workers.splice(0).map(stop));
});

async function startWorker(site: Site): Promise<CliRun> {
  const worker = await site.startWorker();
  workers.push(worker);
  return worker;
}

async function makeOrders(site: Site, note: string): Promise<void> {
  await site.sql(/* sql */ `create table orders (id int primary key, note text);
    insert into orders values (1, '${note} 1'), (2, '${note} 2')`);
}

/** Two sources that share a Temporal namespace, Kafka and ClickHouse; both have a table of orders. */
async function openTwo(second: { readonly pipeline: 'same' | 'own' }): Promise<{ first: Site; second: Site }> {
  const [a, b] = await Promise.all([freshSettings(), freshSettings()]);
  const pipeline = second.pipeline === 'same' ? a['PG2CLICK_PIPELINE'] : b['PG2CLICK_PIPELINE'];
  const shared = { ...b, TEMPORAL_NAMESPACE: a['TEMPORAL_NAMESPACE'] ?? '', PG2CLICK_PIPELINE: pipeline ?? '' };
  const sites = { first: await openSite(a), second: await openSite(shared) };
  await makeOrders(sites.first, 'first');
  await makeOrders(sites.second, 'second');
  return sites;
}

it('two sources in one Temporal namespace do not serve each other’s tables, and a request that reaches a worker of the other is refused and tried again, and parks nothing', async () => {
  const { first, second } = await openTwo({ pipeline: 'own' });
  await startWorker(first);
  await startWorker(second);
  for (const site of [first, second]) expect(await site.run('add', 'orders')).toMatchObject({ code: 0 });
  await first.sql(/* sql */ `update orders set note = 'first 3' where id = 1`);
  await second.sql(/* sql */ `update orders set note = 'second 3' where id = 1`);
  for (const [site, note] of [
    [first, 'first'],
    [second, 'second'],
  ] as const) {
    await waitFor(
      async (see) => {
        const notes = await site.notes('orders');
        see(notes);
        return notes.join() === `${note} 2,${note} 3`;
      },
      { deadlineMs: 30_000, what: `the rows of the ${note}`, everyMs: 200 },
    );
  }

  await second.sql(/* sql */ `create table guests (id int primary key)`);
  const temporal = await temporalOf(first.settings);
  const pipeline = first.settings['PG2CLICK_PIPELINE'] ?? '';
  const handle = await temporal.workflow.start('replicateTable', {
    workflowId: `replicate/${pipeline}/public.guests`,
    taskQueue: second.queues.workflow,
    args: [{ table: 'guests', pipeline }],
  });
  const failure = await waitFor(
    async (see) => {
      const [pending] = (await handle.describe()).raw.pendingActivities ?? [];
      see(pending);
      return (pending?.attempt ?? 0) > 2 ? pending?.lastFailure : undefined;
    },
    { deadlineMs: 30_000, what: 'the second attempt' },
  );
  expect(failure?.applicationFailureInfo).toMatchObject({ type: 'WrongWorker', nonRetryable: false });
  expect(failure?.message).toBe(
    `public.guests belongs to deployment ${second.id} (pipeline ${pipeline}), and this worker serves deployment ${second.id} ` +
      `(database ${second.settings['PG_DB']}, pipeline ${second.settings['PG2CLICK_PIPELINE']}).`,
  );
  expect(
    await second.sql(
      /* sql */ `select tgname from pg_trigger where not tgisinternal and tgrelid = 'public.guests'::regclass`,
    ),
  ).toEqual([]);
  await handle.terminate();
});

it('commands never act on a workflow of another deployment that has the same id', async () => {
  const { first, second } = await openTwo({ pipeline: 'same' });
  await startWorker(first);
  expect(await first.run('add', 'orders')).toMatchObject({ code: 0 });
  const sentence =
    `The workflow replicate/${first.settings['PG2CLICK_PIPELINE']}/public.orders in the Temporal namespace ` +
    `"${first.settings['TEMPORAL_NAMESPACE']}" belongs to deployment ${first.id}, and this is deployment ${second.id} ` +
    `(database ${second.settings['PG_DB']}, pipeline ${first.settings['PG2CLICK_PIPELINE']}).`;
  for (const command of [
    ['add', 'orders'],
    ['add', 'orders', '--no-wait'],
    ['pause', 'orders'],
    ['resume', 'orders'],
    ['remove', 'orders', '--yes', '--drop-target'],
    ['status', 'orders'],
  ]) {
    const { code, stderr } = await second.run(...command);
    expect(stderr, command.join(' ')).toContain(sentence);
    expect(stderr).toContain('Set PG2CLICK_PIPELINE to another name, or TEMPORAL_NAMESPACE to another namespace.');
    expect(code).toBe(2);
  }
  expect((await second.run('status')).stdout).toContain('Nothing is replicated yet');
  expect(await first.status('orders')).toMatchObject({ phase: 'streaming', failure: null });
  expect(await first.notes('orders')).toEqual(['first 1', 'first 2']);
});

it('pause asks PostgreSQL whose workflow it is, and sends nothing while that is not known; a workflow that is started by hand needs its own id, and the task queue of its deployment', async () => {
  const site = await openSite(await freshSettings());
  await makeOrders(site, 'only');
  await startWorker(site);
  expect(await site.run('add', 'orders')).toMatchObject({ code: 0 });
  const paused = await runCli(['pause', 'orders'], { env: { ...site.settings, PG_PORT: '1' } });
  expect(paused.stderr).toContain('refused the connection');
  expect(paused.stderr).toContain('nothing was sent');
  expect(paused.stderr).toContain('temporal workflow signal -w replicate/');
  expect(paused.code).toBe(3);
  expect(await site.status('orders')).toMatchObject({ phase: 'streaming' });
  expect(await site.run('pause', 'orders')).toMatchObject({ code: 0 });

  await site.sql(/* sql */ `create table lines (id int primary key, note text);
    insert into lines values (1, 'by hand 1'), (2, 'by hand 2')`);
  const temporal = await temporalOf(site.settings);
  const pipeline = site.settings['PG2CLICK_PIPELINE'] ?? '';
  const own = `replicate/${pipeline}/public.lines`;
  const start = (workflowId: string, taskQueue = site.queues.workflow) =>
    temporal.workflow.start('replicateTable', { workflowId, taskQueue, args: [{ table: 'lines', pipeline }] });

  const wrong = await start('lines');
  await expect(wrong.result()).rejects.toMatchObject({
    cause: {
      type: 'Misconfigured',
      message: `This workflow has the id "lines", and its input names the table of "${own}": start it again with that id.`,
    },
  });
  const elsewhere = await start(own, 'pg2click/elsewhere');
  const status = await site.run('status', 'lines');
  expect(status.stdout).toContain(
    `Its workflow waits on the task queue "pg2click/elsewhere", and the workers of this deployment poll "${site.queues.workflow}".`,
  );
  expect(status.code).toBe(4);
  await elsewhere.terminate();

  await start(own);
  await site.until('lines', 'streaming', ({ phase }) => phase === 'streaming');
  expect(await site.notes('lines')).toEqual(['by hand 1', 'by hand 2']);
});

it('a cloned database takes neither topic nor target of the original, and drops nothing of it', async () => {
  const original = await openSite(await freshSettings());
  await makeOrders(original, 'original');
  const before = await original.startWorker();
  expect(await original.run('add', 'orders')).toMatchObject({ code: 0 });
  await original.sql(/* sql */ `update orders set note = 'original 3' where id = 1`);
  await original.until('orders', 'one change loaded', ({ loadedRows }) => loadedRows === 1);
  await stop(before);
  const database = await cloneDatabase(original.settings);
  const { TEMPORAL_NAMESPACE } = await freshSettings();
  const clone = await openSite({
    ...original.settings,
    PG_DB: database,
    TEMPORAL_NAMESPACE: TEMPORAL_NAMESPACE ?? '',
  });
  expect(clone.id).not.toBe(original.id);
  await startWorker(original);
  await startWorker(clone);
  const pipeline = original.settings['PG2CLICK_PIPELINE'] ?? '';
  const sides = [
    `deployment ${original.id} (database ${original.settings['PG_DB']}, pipeline ${pipeline})`,
    `deployment ${clone.id} (database ${database}, pipeline ${pipeline})`,
  ];

  // Its ledger is a copy of the original's.
  const adopted = await clone.run('add', 'orders');
  expect(adopted.stderr).toContain('public.orders is parked (TargetTaken)');
  for (const side of sides) expect(adopted.stderr).toContain(side);
  const removed = await clone.run('remove', 'orders', '--drop-target', '--yes', '--json');
  expect(JSON.parse(removed.stdout)).toMatchObject({ removed: true, dropped: [] });
  expect(await original.notes('orders')).toEqual(['original 2', 'original 3']);
  const triggers = /* sql */ `select tgname from pg_trigger where not tgisinternal and tgrelid = 'public.orders'::regclass`;
  expect(await clone.sql(triggers)).toEqual([]);

  // The names that the settings give are those of the original.
  const again = await clone.run('add', 'orders');
  expect(again.stderr).toContain('TargetTaken');
  expect(again.stderr).toContain(`${clone.id} ${pipeline}/public.orders`);
  expect(again.stderr).toContain(`${original.id} ${pipeline}/public.orders`);
  expect(await clone.sql(triggers)).toEqual([]);
  await clone.run('remove', 'orders', '--yes');
  const topic = await clone.run('add', 'orders', '--target', 'cloned');
  expect(topic.stderr).toContain(
    `The topic ${pipeline}.public.orders was last written by deployment ${original.id}, and this is ${sides[1]}.`,
  );
  expect(await clone.sql(triggers)).toEqual([]);
  await clone.run('remove', 'orders', '--yes', '--drop-target');

  expect(
    await clone.run('add', 'orders', '--target', 'cloned', '--topic', freshName('topic')),
    'with names of its own',
  ).toMatchObject({ code: 0 });
  expect(await clone.notes('cloned')).toEqual(['original 2', 'original 3']);
  await original.sql(/* sql */ `update orders set note = 'original 4' where id = 1`);
  await original.until('orders', 'another change loaded', ({ loadedRows }) => loadedRows === 2);
  expect(await original.notes('orders')).toEqual(['original 2', 'original 4']);
});

it('init moves the tables of a release without identities: nothing is copied again, and a pause stays', async () => {
  const site = await openSite(await freshSettings());
  await makeOrders(site, 'old');
  await site.sql(/* sql */ `create table paused (id int primary key, note text)`);
  const before = await site.startWorker();
  expect(await site.run('add', 'orders')).toMatchObject({ code: 0 });
  expect(await site.run('add', 'paused')).toMatchObject({ code: 0 });
  await stop(before);
  await makeOld(site, { orders: 'streaming', paused: 'paused' });
  await site.sql(/* sql */ `update orders set note = 'new 1' where id = 1`);

  const status = await site.run('status');
  expect(status.stdout).toContain('Its workflow waits on the task queue "pg2click"');
  const init = await site.run('init', '--json');
  expect(JSON.parse(init.stdout)).toMatchObject({
    ready: true,
    moved: ['public.orders', 'public.paused'],
    taskQueue: site.queues.workflow,
  });
  const inserted = await countInserts(site);
  await startWorker(site);
  await site.until('orders', 'streaming', ({ phase, loadedRows }) => phase === 'streaming' && loadedRows === 1);
  expect(await site.notes('orders')).toEqual(['new 1', 'old 2']);
  expect(await site.status('orders')).toMatchObject({ copied: true, copiedRows: 2 });
  expect(await countInserts(site)).toBe(inserted + 1);
  expect(await site.status('paused')).toMatchObject({ phase: 'paused' });
  const definitions = await site.sql<{ owner: string; server: string }>(/* sql */ `
    select definition #>> '{owner,id}' as owner, definition #>> '{route,loaders,0,server}' as server
    from pg2click.replicated_table where table_name = 'orders'`);
  expect(definitions).toEqual([{ owner: site.id, server: expect.any(String) as string }]);
  const answer = await clickhouse().query({
    query: /* sql */ `select comment from system.tables where database = '${site.settings['CH_DB']}' and name = 'orders_current'`,
    format: 'JSONEachRow',
  });
  expect(await answer.json()).toEqual([
    { comment: `pg2click ${site.id} ${site.settings['PG2CLICK_PIPELINE']}/public.orders view` },
  ]);
  expect(JSON.parse((await site.run('init', '--json')).stdout)).toMatchObject({ moved: [] });
});

/** Rows that were ever inserted into the target: nothing is merged in a test's time. */
async function countInserts(site: Site): Promise<number> {
  const answer = await clickhouse().query({
    query: /* sql */ `select sum(rows) as rows from system.parts
      where database = '${site.settings['CH_DB']}' and table = 'orders' and active`,
    format: 'JSONEachRow',
  });
  return Number((await answer.json<{ rows: string }>())[0]?.rows);
}

/** Makes ledger, marks and workflows as the release before left them. */
async function makeOld(site: Site, tables: Readonly<Record<string, 'streaming' | 'paused'>>): Promise<void> {
  await site.sql(/* sql */ `update pg2click.replicated_table
    set definition = definition - 'owner' #- '{route,loaders,0,server}'`);
  const temporal = await temporalOf(site.settings);
  const pipeline = site.settings['PG2CLICK_PIPELINE'] ?? '';
  for (const [table, phase] of Object.entries(tables)) {
    for (const [suffix, role] of [
      ['', ''],
      ['_floor', ' floor'],
      ['_current', ' view'],
    ])
      await clickhouse().command({
        query: /* sql */ `alter table ${site.settings['CH_DB']}.${table}${suffix}
          modify comment 'pg2click ${pipeline}/public.${table}${role}'`,
      });
    const workflowId = `replicate/${pipeline}/public.${table}`;
    await temporal.workflow.getHandle(workflowId).terminate();
    await temporal.workflow.start('replicateTable', {
      workflowId,
      taskQueue: 'pg2click',
      args: [{ table, pipeline, schema: 'public', sliceMs: 60_000 }],
      searchAttributes: { Pg2clickPhase: [phase] },
    });
  }
}
