import { beforeAll, expect, it, vi } from 'vitest';
import { runCli, startCli } from '../support/cli.js';
import { connectOwner, freshSettings, type CliSettings } from '../support/cli-settings.js';
import { waitFor } from '../support/stack.js';

vi.setConfig({ testTimeout: 600_000 });

let settings: CliSettings;
beforeAll(async () => {
  settings = await freshSettings();
});

async function sql(statement: string): Promise<void> {
  const client = await connectOwner(settings);
  await client.query(statement);
  await client.end();
}

const pg2click = (...args: readonly string[]) => runCli(args, { env: settings });

interface Listed {
  readonly rows: readonly { readonly id: string; readonly column: string | null; readonly state: string }[];
}
const list = async (...args: readonly string[]): Promise<Listed['rows']> => {
  const { stdout } = await pg2click('quarantine', 'list', ...args, '--json');
  return (JSON.parse(stdout) as Listed).rows;
};

it('rows in quarantine are listed, shown, retried and dropped, and values are in show alone', async () => {
  await sql(/* sql */ `create table orders (id bigint primary key, day date, note text);
    insert into orders select i, '2024-01-01', 'fine' from generate_series(1, 10) i`);
  expect((await pg2click('init')).code).toBe(0);
  const worker = startCli(['worker'], { env: { ...settings, PG2CLICK_LOG_LEVEL: 'debug', PG2CLICK_SLICE_MS: '2000' } });
  await waitFor(() => worker.output().includes('worker started'), { deadlineMs: 60_000, what: 'the worker to start' });
  expect((await pg2click('add', 'orders')).code).toBe(0);
  await sql(
    /* sql */ `insert into orders values (77, '9999-12-31', 'a private note'), (78, '9999-12-31', 'a private note'), (79, '2024-01-01', 'fine')`,
  );
  const [first, second] = await waitFor(
    async () => {
      const rows = await list('orders');
      return rows.length === 2 ? rows : undefined;
    },
    { deadlineMs: 60_000, what: 'two rows in quarantine' },
  );

  const listed = await pg2click('quarantine', 'list');
  expect(listed.stdout).toMatch(/public\.orders +open +day +\d+ CANNOT_\w+ +load:main, partition \d+, offset \d+/u);
  expect(listed.stdout).not.toMatch(/private|infinity|77/u);
  const shown = await pg2click('quarantine', 'show', 'orders', first?.id ?? '', '--json');
  const { find } = JSON.parse(shown.stdout) as { find: string };
  const client = await connectOwner(settings);
  expect((await client.query(find)).rows).toMatchObject([{ id: '77' }, { id: '78' }]);
  await client.end();
  expect((await pg2click('quarantine', 'show', 'orders', first?.id ?? '')).stdout).toMatch(
    /values before 1900.*; day is shown as infinity, whatever value it has/u,
  );
  expect(JSON.parse(shown.stdout)).toMatchObject({
    key: ['77'],
    column: 'day',
    format: 'JSONEachRow',
    raw: expect.stringContaining('a private note'),
  });
  expect((await pg2click('quarantine', 'show', 'orders', '999999')).stderr).toContain(
    'has no row 999999 in quarantine',
  );

  for (const action of ['retry', 'drop']) {
    const unknown = await pg2click('quarantine', action, 'orders', first?.id ?? '', '999999');
    expect(unknown.stderr).toContain('has no row 999999 in quarantine: nothing was changed');
    expect(unknown.code).toBe(2);
    const other = await pg2click('quarantine', action, 'orders', 'abc');
    expect(other.stderr).toContain('"abc" is no id: "pg2click quarantine list public.orders" shows them.');
    expect(other.code).toBe(2);
  }

  const status = await pg2click('status', 'orders');
  expect(status.code).toBe(0);
  expect(status.stdout).toContain('2 rows in quarantine');
  expect(JSON.parse((await pg2click('status', 'orders', '--json')).stdout)).toMatchObject({
    tables: [{ quarantined: 2 }],
  });

  const retried = await pg2click('quarantine', 'retry', 'orders', '--json');
  expect(retried.code).not.toBe(0);
  expect(`${retried.stdout}${retried.stderr}`).toContain('is a mark in place of a value');
  expect((await pg2click('quarantine', 'drop', 'orders')).code).toBe(2);
  const dropped = await pg2click('quarantine', 'drop', 'orders', second?.id ?? '');
  expect(dropped.stdout).toContain('1 row dropped from the quarantine.');

  await sql(/* sql */ `update orders set day = '2024-02-02' where id = 77`);
  await waitFor(async () => (await list('orders')).length === 0, { deadlineMs: 60_000, what: 'the correction' });
  expect((await list('orders', '--all')).map(({ state }) => state)).toEqual(['superseded', 'dropped']);
  expect((await pg2click('quarantine', 'list')).stdout).toContain('No row is in quarantine.');
  expect(worker.output()).not.toMatch(/private note|infinity/u);
});
