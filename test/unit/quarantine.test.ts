import { describe, expect, it } from 'vitest';
import { identifyRow, originOf } from '../../src/clickhouse/quarantine/identify-row.js';
import { escapeText, jsonFields, textFields } from '../../src/clickhouse/quarantine/line-fields.js';
import { RefusedRows } from '../../src/clickhouse/quarantine/refused-rows.js';
import { linesOf, withoutHoles } from '../../src/clickhouse/quarantine/values.js';
import type { InsertValues } from '../../src/clickhouse/clickhouse-writer.js';
import { isOverLimit, isOverShare } from '../../src/domain/quarantine.js';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { MessagePlaces } from '../../src/topic/message-places.js';

describe('the fields of a row', () => {
  it('keep every digit of a number, and every character of a text', () => {
    const line = Buffer.from(
      String.raw`{"id":9007199254740993,"t":"a\"b,\\{\u0041","n":null,"o":{"x":[1,{"y":2}]},"b":true,"_version":"1"}`,
    );
    expect(Object.fromEntries(jsonFields(line) ?? [])).toEqual({
      id: '9007199254740993',
      t: 'a"b,\\{A',
      n: null,
      b: 'true',
      _version: '1',
    });
  });

  it.each(['garbage', '{"id":1', '[1]', 'null', '', '5'])('are not known of %s', (line) => {
    expect(jsonFields(Buffer.from(line))).toBeUndefined();
  });

  it('are read from a row with a text of 20 MB', () => {
    const text = `${'x'.repeat(10_000_000)}${String.raw`\n`.repeat(5_000_000)}`;
    expect(jsonFields(Buffer.from(`{"id":1,"t":"${text}","n":2}`))?.get('n')).toBe('2');
  });

  it('are unescaped from COPY text, and escaped again', () => {
    const texts = ['tab\there', 'line\nfeed', 'back\\slash', '\\N', '', '\r'];
    const columns = texts.map((_, index) => `c${index}`);
    const fields = textFields(Buffer.from(texts.map(escapeText).join('\t')), columns);
    expect([...(fields?.values() ?? [])]).toEqual(texts);
    expect(textFields(Buffer.from('\\N\tx'), ['a', 'b'])?.get('a')).toBeNull();
    expect(textFields(Buffer.from('1\t2\t3'), ['a', 'b'])).toBeUndefined();
  });
});

describe('a refused row', () => {
  const table = {
    key: ['b', 'a'],
    columns: [
      { name: 'a', type: 'bigint', position: 1, nullable: false },
      { name: 'b', type: 'boolean', position: 2, nullable: false },
    ],
  };
  const refusal = { code: 38, column: undefined, row: undefined };
  const version = String((1n << 120n) + (77n << 64n) + 1n);

  it('has the same key in both formats', () => {
    const json = { format: 'JSONEachRow', columns: undefined } as const;
    const text = { format: 'TabSeparated', columns: ['a', 'b', '_version', '_deleted'] } as const;
    const fromJson = identifyRow(table, json, Buffer.from(`{"a":1,"b":true,"_version":"${version}"}`), refusal);
    const fromText = identifyRow(table, text, Buffer.from(`1\tt\t${version}\t0`), refusal);
    expect(fromJson).toEqual(fromText);
    expect(fromJson).toMatchObject({ key: '["true","1"]', version, isTombstone: false });
  });

  it('has an origin that shows no value: the position of its version, and a hash of its key', () => {
    const row = { key: '["secret"]', version, isTombstone: false, column: null, code: 38 };
    expect(originOf(row, Buffer.from('x'))).toEqual({ position: '77', row: expect.stringMatching(/^[\w-]{22}$/u) });
    expect(JSON.stringify(originOf(row, Buffer.from('x')))).not.toContain('secret');
  });
});

describe('a batch in memory', () => {
  const places = new MessagePlaces();
  const messages: readonly (readonly [number, number, string])[] = [
    [0, 5, 'a\nb\nc'],
    [0, 6, 'd'],
    [0, 9, 'e'],
    [2, 1, 'f\ng'],
  ];
  for (const [index, [partition, offset]] of messages.entries()) places.add(partition, offset, index);
  const content: InsertValues = {
    kind: 'values',
    values: messages.map(([, , text]) => Buffer.from(text)),
    placeOf: (value) => places.at(value),
    encoding: 'TabSeparated',
    names: ['x'],
    shape: 1,
    rows: 7,
    bytes: 14,
    token: 'T',
    floor: undefined,
  };

  it('knows the message and the row of each line, also where messages were passed over', () => {
    const { lines, originOf: placeOf } = linesOf(content);
    expect(lines.map(String)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
    expect(lines.map((_, line) => Object.values(placeOf(line)).join('/'))).toEqual([
      '0/5/0',
      '0/5/1',
      '0/5/2',
      '0/6/0',
      '0/9/0',
      '2/1/0',
      '2/1/1',
    ]);
  });

  it('goes without the rows that are holes', () => {
    const rest = withoutHoles(content, new Set(['0:5/1', '0:9/0', '2:1/1']));
    expect(rest.values.map(String)).toEqual(['a', 'c', 'd', 'f']);
    expect(rest).toMatchObject({ rows: 4, bytes: 8, token: 'T' });
  });
});

it.each([
  [1, 0, 1, false],
  [5, 0, 5, false],
  [100, 0, 100, false],
  [101, 0, 101, true],
  [101, 0, 1_000, false],
  [1_001, 0, 1_000_000, true],
  [500, 501, 100_000, true],
])('%i refused rows, with %i before, of a batch of %i: parks %s', (refused, open, rows, parks) => {
  const limits = { rows: 1_000, percent: 50 };
  expect(isOverLimit(limits, refused, open) || isOverShare(limits, refused, rows)).toBe(parks);
});

it('1,001 refused versions of one row are one row, of which the newest is kept', () => {
  const table = { target: { database: 'd', table: 't' } } as TargetTable;
  const refused = new RefusedRows({
    limits: { rows: 1_000, percent: 50 },
    table,
    open: 0,
    error: new Error('refused'),
    rereads: false,
  });
  const raw = Buffer.alloc(1024 * 1024);
  for (let version = 1; version <= 1_001; version += 1)
    refused.add({
      origin: { partition: 0, offset: String(version), row: 0 },
      key: '["1"]',
      version: String(version === 1_001 ? 7 : version),
      isTombstone: false,
      column: 'day',
      code: 38,
      format: 'JSONEachRow',
      columns: null,
      raw,
    });
  const rows = refused.finish(1_001);
  expect(rows).toHaveLength(1_001);
  expect(rows.filter((row) => row.raw.length > 0).map(({ version }) => version)).toEqual(['1000']);
});

it.each([
  [false, 101, /^To go on, restart .* with PG2CLICK_QUARANTINE_PERCENT=100, then resume: /u],
  [
    true,
    101,
    /^Correct the values in PostgreSQL, then resume\. To go on, restart .* with PG2CLICK_QUARANTINE_PERCENT=100/u,
  ],
  [false, 1_001, /^To go on, restart .* with a higher PG2CLICK_QUARANTINE_ROWS \(and PG2CLICK_QUARANTINE_PERCENT=100/u],
])(
  'too many refused rows, read again %s, %i: the remedy names the limit that was exceeded',
  (rereads, refused, remedy) => {
    const rows = new RefusedRows({
      limits: { rows: 1_000, percent: 50 },
      table: { target: { database: 'd', table: 't' } } as TargetTable,
      open: 0,
      error: new Error('refused'),
      rereads,
    });
    const fill = (): void => {
      for (let id = 1; id <= refused; id += 1)
        rows.add({
          origin: { partition: 0, offset: String(id), row: 0 },
          key: `["${id}"]`,
          version: '7',
          isTombstone: false,
          column: 'day',
          code: 38,
          format: 'JSONEachRow',
          columns: null,
          raw: Buffer.from('x'),
        });
      rows.finish(refused);
    };
    expect(fill).toThrow(expect.objectContaining({ remedy: expect.stringMatching(remedy) as string }) as Error);
  },
);
