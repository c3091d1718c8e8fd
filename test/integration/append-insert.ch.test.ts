import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { insertFenced, rangeToken, type InsertMode } from '../../src/clickhouse/append/insert.js';
import { endOlderInserts, insertMark, readFence, writeFence } from '../../src/clickhouse/append/fence.js';
import { HeldFence } from '../../src/clickhouse/append/held-fence.js';
import type { Queryable } from '../../src/connect/queryable.js';
import { createAppendTarget } from '../../src/clickhouse/append/target.js';
import { fenceEpoch } from '../../src/clickhouse/append/epoch.js';
import { insertText } from '../../src/clickhouse/insert-text.js';
import { fencedInsertSettings } from '../../src/clickhouse/insert-settings.js';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { column, openSink, rowsOf, targetTableOf } from '../support/sink.js';

const sink = await openSink('append');
const { ch, database } = sink;
const never = new AbortController().signal;

const RANGE = { column: 'id', ids: [['1', '1000']] } as const;
const NAME = { batch: 1, generation: 1 };
const text = (first = 1, last = 1_000): Readable =>
  Readable.from(Array.from({ length: last - first + 1 }, (_, n) => Buffer.from(`${first + n}\tname\n`)));
const epochOf = (claim: number) => fenceEpoch(1, String(claim), 1);

async function makeTarget(window = 1): Promise<TargetTable> {
  const table = targetTableOf(sink, [column('id', 'bigint'), column('name', 'text')], { engine: 'merge-tree' });
  await createAppendTarget(ch, table);
  await ch.command({
    query: `alter table ${database}.${table.target.table} modify setting non_replicated_deduplication_window = ${window}`,
  });
  await writeFence(ch, table.target, epochOf(1));
  return table;
}

const token = (table: TargetTable): InsertMode => ({ token: rangeToken(table, 'direct:main', NAME, RANGE) });
const insert = (table: TargetTable, claim: number, mode: InsertMode, rows = text()) =>
  insertFenced(ch, table, rows, { epoch: epochOf(claim), mode, attempt: 1, signal: never });
const count = async ({ target }: TargetTable): Promise<string | undefined> =>
  (await rowsOf<{ n: string }>(sink, `select toString(count()) as n from ${database}.${target.table}`))[0]?.n;

test('a batch that is repeated beyond the window comes once, and twice without the anti-join', async () => {
  const [right, control] = [await makeTarget(), await makeTarget()];
  for (const table of [right, control]) {
    await insert(table, 1, token(table));
    // One block of another batch, and the window has forgotten.
    await insert(table, 1, { token: 'another' }, text(1_001, 1_010));
  }
  await insert(right, 1, { missing: RANGE });
  await insert(control, 1, token(control));
  expect(await count(right)).toBe('1010');
  expect(await count(control)).toBe('2010');
});

test('an insert that arrives after another attempt has taken over comes not at all, and twice without the fence', async () => {
  const [right, control] = [await makeTarget(), await makeTarget()];
  for (const table of [right, control]) {
    await writeFence(ch, table.target, epochOf(2));
    await insert(table, 2, { missing: RANGE });
    await insert(table, 2, { token: 'another' }, text(1_001, 1_010));
  }
  await expect(insert(right, 1, token(right))).rejects.toMatchObject({ kind: 'Fenced' });
  const query = `insert into ${database}.${control.target.table} (id, name) format TabSeparated`;
  const settings = fencedInsertSettings(ch, { mark: 'control', token: 'late' });
  await insertText(ch, control, text(), { query, settings, signal: never });
  expect(await count(right)).toBe('1010');
  expect(await count(control)).toBe('2010');
});

test('an attempt that takes over ends an insert that had passed the fence before, and only then looks for what is missing', async () => {
  const table = await makeTarget();
  const mark = insertMark(table.target);
  // 10 s, in blocks of 1 s.
  const slow = ch.command({
    query: `insert into ${database}.${table.target.table} select number + 1, 'name' from numbers(1000)
      where sleepEachRow(0.01) = 0 settings max_block_size = 100`,
    clickhouse_settings: { log_comment: mark },
  });
  const ended = slow.then(
    () => 'inserted',
    () => 'killed',
  );
  const running = () => rowsOf(sink, `select 1 from system.processes where Settings['log_comment'] = '${mark}'`);
  await expect.poll(running, { timeout: 9_000, interval: 20 }).toHaveLength(1);
  await writeFence(ch, table.target, epochOf(2));
  expect(await count(table)).toBe('0');
  await endOlderInserts(ch, table.target, never, () => undefined);
  expect(await running()).toEqual([]);
  await insert(table, 2, { missing: RANGE });
  await ended;
  expect(await count(table)).toBe('1000');
});

test('a fence that was emptied stops inserts, and the highest epoch is the one that holds', async () => {
  const table = await makeTarget();
  await writeFence(ch, table.target, epochOf(5));
  await writeFence(ch, table.target, epochOf(3));
  expect(await readFence(ch, table.target)).toBe(epochOf(5));
  await ch.command({ query: `truncate table ${database}.${table.target.table}_fence` });
  await expect(insert(table, 5, token(table))).rejects.toMatchObject({ kind: 'Fenced' });
  expect(await count(table)).toBe('0');
});

test('a batch of 200,000 rows is one part', async () => {
  const table = await makeTarget();
  await insert(table, 1, token(table), text(1, 200_000));
  const parts = await rowsOf<{ level: number; rows: string }>(
    sink,
    `select level, toString(rows) as rows from system.parts where active and database = '${database}' and table = '${table.target.table}'`,
  );
  expect(parts).toEqual([{ level: 0, rows: '200000' }]);
});

test('a fence whose write was not answered is taken by the next try, and is nobody else’s', async () => {
  const table = await makeTarget();
  let isLost = false;
  const losing = new Proxy(ch, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'command') return typeof value === 'function' ? value.bind(target) : value;
      return async (request: Parameters<typeof ch.command>[0]) => {
        const done = await target.command(request);
        if (isLost || !request.query.includes('_fence')) return done;
        isLost = true;
        throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
      };
    },
  });
  // The claim holds: nobody else has taken the stage.
  const ledger = { query: () => Promise.resolve({ rowCount: 1, rows: [{}] }) } as unknown as Queryable;
  const claim = { tableId: '1', stage: 'direct:main', epoch: '5' };
  const fence = new HeldFence({ clickhouse: losing, ledger }, table, claim);
  await expect(fence.take()).rejects.toMatchObject({ kind: 'SinkUnavailable' });
  await fence.take();
  expect(await readFence(ch, table.target)).toBe(fence.epoch);
});
