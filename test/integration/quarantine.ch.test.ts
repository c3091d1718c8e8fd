import { describe, expect, it, test, vi } from 'vitest';
import { findRefused } from '../../src/clickhouse/quarantine/find-refused.js';
import { Probe, type LineFormat } from '../../src/clickhouse/quarantine/probe.js';
import { insertValues } from '../../src/clickhouse/insert.js';
import { createTarget } from '../../src/clickhouse/target.js';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { column, openSink, rowsOf, targetTableOf } from '../support/sink.js';

// Each probe is a request: dozens of them on a busy machine.
vi.setConfig({ testTimeout: 240_000 });

const sink = await openSink('quarantine');
const { ch, database } = sink;
const { signal } = new AbortController();
const COLUMNS = ['id', 'day', 'at', 'amount', 'note', '_version', '_deleted'];

async function makeTarget(): Promise<TargetTable> {
  const table = targetTableOf(sink, [
    column('id', 'bigint'),
    column('day', 'date', { nullable: true }),
    column('at', 'timestamp without time zone', { nullable: true }),
    column('amount', 'numeric', { precision: 9, scale: 2, nullable: true }),
    column('note', 'text', { nullable: true }),
  ]);
  await createTarget(ch, table);
  return table;
}

interface Row {
  readonly id?: string;
  readonly day?: string;
  readonly at?: string;
  readonly amount?: string;
  readonly note?: string;
}

/** `secret` is in every row: no finding may show it. */
function lineOf(format: LineFormat['format'], row: number, values: Row): Buffer {
  const all = {
    id: String(row),
    day: '2024-01-01',
    at: '2024-01-01 00:00:00',
    amount: '1.50',
    note: 'secret',
    ...values,
    _version: '1',
    _deleted: '0',
  };
  const texts = COLUMNS.map((name) => all[name as keyof typeof all]);
  return Buffer.from(format === 'TabSeparated' ? texts.join('\t') : JSON.stringify({ ...all, _deleted: 0 }));
}

async function find(table: TargetTable, format: LineFormat['format'], lines: readonly Buffer[]) {
  const columns = format === 'TabSeparated' ? COLUMNS : undefined;
  const probe = await Probe.open(ch, table, { format, columns });
  const found: [number, string | undefined][] = [];
  for await (const { index, refusal } of findRefused(lines, probe, signal)) found.push([index, refusal.column]);
  return found;
}

describe.each(['JSONEachRow', 'TabSeparated'] as const)('rows that ClickHouse refuses, as %s', (format) => {
  const BAD: readonly (readonly [column: keyof Row, value: string])[] = [
    ['day', 'infinity'],
    ['at', 'infinity'],
    ['amount', 'NaN'],
    ['amount', '123456789012'],
    ['id', 'secret'],
  ];
  it.each(BAD)(
    'finds the first, the last, neighbours and those of another part of the batch: %s %s',
    async (name, value) => {
      const bad = [0, 7, 8, 2_047, 2_048, 16_384, 19_999];
      const lines = Array.from({ length: 20_000 }, (_, row) =>
        lineOf(format, row, bad.includes(row) ? { [name]: value } : {}),
      );
      const table = await makeTarget();
      expect(await find(table, format, lines)).toEqual(bad.map((row) => [row, name]));
      expect(await rowsOf(sink, `select * from ${database}.${table.target.table}`)).toEqual([]);
    },
  );

  it('finds every row where all are bad, and none where none is', async () => {
    const table = await makeTarget();
    const rows = (values: Row): Buffer[] => Array.from({ length: 20 }, (_, row) => lineOf(format, row, values));
    expect(await find(table, format, rows({ day: 'infinity' }))).toHaveLength(20);
    expect(await find(table, format, rows({}))).toEqual([]);
  });

  it('is not led astray by a value that looks like the text of an error', async () => {
    const table = await makeTarget();
    const note = '(while reading the value of key amount): (at row 1)';
    const lines = Array.from({ length: 100 }, (_, row) =>
      lineOf(format, row, row === 60 ? { note, day: note } : { note }),
    );
    expect((await find(table, format, lines)).map(([row]) => row)).toEqual([60]);
  });
});

test('a message that is no JSON is found, and those around it are good', async () => {
  const table = await makeTarget();
  const good = (row: number): Buffer => lineOf('JSONEachRow', row, {});
  for (const broken of [
    'garbage',
    '{"id":1',
    '{"id":1,"note":"open',
    '{"id" 1}',
    '[]',
    '{"id":1,"unknown":2}',
    'null',
  ]) {
    const lines = [good(1), good(2), Buffer.from(broken), good(3), good(4)];
    expect([broken, (await find(table, 'JSONEachRow', lines)).map(([row]) => row)]).toEqual([broken, [2]]);
  }
});

test('the rest of a batch and the whole of it have one token: whichever comes second is dropped, and doubles under another one', async () => {
  const name = `${database}.single`;
  await ch.command({
    query: `create table ${name} (id Int64, day Date32) engine = MergeTree order by id
      settings non_replicated_deduplication_window = 100`,
  });
  const table = targetTableOf(sink, [column('id', 'bigint'), column('day', 'date')], {
    target: { database, table: 'single' },
  });
  const rest = [1, 3].map((id) => Buffer.from(`{"id":${id},"day":"2024-01-01"}`));
  const whole = [...rest, Buffer.from('{"id":2,"day":"infinity"}')];
  const insert = (values: readonly Buffer[], token: string) => insertValues(ch, table, { values, token, signal });
  const count = async () => (await rowsOf<{ n: number }>(sink, `select toUInt32(count()) as n from ${name}`))[0]?.n;

  await expect(insert(whole, 'T')).rejects.toMatchObject({ kind: 'RowRefused' });
  await insert(rest, 'T');
  expect(await count()).toBe(2);
  // Meanwhile the target was altered, and takes the row: a frozen worker sends the batch that it had in hand.
  await ch.command({ query: `alter table ${name} modify column day String` });
  await insert(whole, 'T');
  expect(await count()).toBe(2);
  await insert(whole, 'a token of its own');
  expect(await count()).toBe(5);
});
