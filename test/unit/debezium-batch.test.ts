import { describe, expect, it } from 'vitest';
import { DebeziumBatch } from '../../src/debezium/batch-builder.js';
import { positionOfCopy, versionOf } from '../../src/debezium/version-of.js';
import { UnknownSchema } from '../../src/debezium/avro-value.js';
import { WriterSchema } from '../../src/debezium/writer-schema.js';
import { UnknownColumns } from '../../src/debezium/row-writer.js';
import type { Column, ReplicatedTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import type { Fetched, FetchLimits } from '../../src/topic/fetched.js';
import { recordedMessages, recordOf, type RecordedMessage } from '../support/debezium-messages.js';

const LIMITS: FetchLimits = { maxRows: 1_000, maxBytes: 1_000_000, maxKeys: 100 };

function tableOf(table: string, columns: Readonly<Record<string, string>>, key: readonly string[]): ReplicatedTable {
  return {
    id: '1',
    pipeline: 'default',
    name: { schema: 'public', table },
    relation: '1',
    generation: 2,
    shape: 3,
    key,
    fingerprint: '{}',
    columns: Object.entries(columns).map(([name, type], index): Column => ({
      name,
      type,
      position: index + 1,
      nullable: !key.includes(name),
    })),
    route: {
      capture: { kind: 'debezium', foreignTopic: true },
      transport: { kind: 'kafka', topic: 'shop', partitions: 1, format: 'json', payload: 'row' },
      loaders: [],
    },
  };
}

const TWO = tableOf('two', { a: 'integer', b: 'text', v: 'integer' }, ['a', 'b']);

interface TakeOptions {
  readonly ignored?: readonly string[];
  readonly isNamed?: boolean;
  readonly first?: number;
  readonly streamed?: boolean;
  readonly schemas?: ReadonlyMap<number, WriterSchema>;
}

/** @returns what was taken, and how many messages */
function take(
  table: ReplicatedTable,
  messages: readonly RecordedMessage[],
  { ignored = [], isNamed = false, first = 0, streamed, schemas = new Map() }: TakeOptions = {},
): Fetched & { readonly taken: number } {
  const batch = new DebeziumBatch(
    { table, topic: 'shop', ignored: new Set(ignored), streamed, schemas, defaulted: new Set() },
    LIMITS,
    isNamed,
  );
  let taken = 0;
  for (const message of messages.slice(first)) {
    if (!batch.offer(0, recordOf(message, first + taken))) break;
    taken += 1;
  }
  return { ...batch.finish(), taken };
}

/** Of the rows, what is left when versions are written as offsets. */
function linesOf({ values }: Fetched): string[] {
  return values.map((value) =>
    value.toString().replace(/"_version":"(\d+)"/u, (_, version: string) => {
      const offset = (BigInt(version) - composeVersion(2, 2n, 3n)) >> 65n;
      return `"_version":${offset}`;
    }),
  );
}

it('every change becomes a row or a tombstone under the version of its offset', () => {
  const fetched = take(TWO, recordedMessages('envelope.two').slice(0, 14));
  expect(fetched).toMatchObject({ encoding: 'JSONEachRow', ranges: { 0: { first: '0', last: '13' } }, highest: '28' });
  expect(linesOf(fetched)).toEqual([
    '{"a":1,"b":"x","v":1,"_version":0,"_deleted":0}',
    '{"a":2,"b":"y","v":2,"_version":1,"_deleted":0}',
    '{"a":1,"b":"x","v":10,"_version":2,"_deleted":0}',
    // A key that changes is a deletion, its tombstone, and a row.
    '{"a":1,"b":"x","_version":3,"_deleted":1}',
    '{"a":1,"b":"x","_version":4,"_deleted":1}',
    '{"a":1,"b":"z","v":10,"_version":5,"_deleted":0}',
    '{"a":3,"b":"t","v":1,"_version":6,"_deleted":0}',
    '{"a":2,"b":"y","_version":7,"_deleted":1}',
    '{"a":2,"b":"y","_version":8,"_deleted":1}',
    '{"a":2,"b":"y","v":20,"_version":9,"_deleted":0}',
    '{"a":3,"b":"t","_version":10,"_deleted":1}',
    '{"a":3,"b":"t","_version":11,"_deleted":1}',
    '{"a":9,"b":"after","v":1,"_version":13,"_deleted":0}',
  ]);
  expect(fetched.truncate).toBe(String(composeVersion(2, 26n, 3n)));
});

it.each(['flat', 'rewrite'])('rows without an envelope: %s', (way) => {
  const fetched = take(TWO, recordedMessages(`${way}.two`).slice(0, 9));
  // Their transactions are not in the messages.
  expect(fetched).toMatchObject({ encoding: 'JSONEachRow', rows: 9 });
  expect(linesOf(fetched)).toEqual([
    '{"a":1,"b":"x","v":1,"_version":0,"_deleted":0}',
    '{"a":2,"b":"y","v":2,"_version":1,"_deleted":0}',
    '{"a":1,"b":"x","v":10,"_version":2,"_deleted":0}',
    '{"a":1,"b":"x","_version":3,"_deleted":1}',
    '{"a":1,"b":"z","v":10,"_version":4,"_deleted":0}',
    '{"a":3,"b":"t","v":1,"_version":5,"_deleted":0}',
    '{"a":2,"b":"y","_version":6,"_deleted":1}',
    '{"a":2,"b":"y","v":20,"_version":7,"_deleted":0}',
    '{"a":3,"b":"t","_version":8,"_deleted":1}',
  ]);
});

describe('a TOAST value that an update did not touch', () => {
  const columns = { id: 'integer', n: 'integer', big: 'text', bigj: 'jsonb', bigb: 'bytea' };
  const table = tableOf('toasty', columns, ['id']);
  const options = { ignored: ['biga', 'bigh', 'bigi'] };
  const messages = recordedMessages('envelope.toasty');

  it('ends a batch of rows that are whole', () => {
    expect(take(table, messages, options)).toMatchObject({ taken: 1, encoding: 'JSONEachRow' });
  });

  it('makes a batch of keys, which the whole rows behind it join', () => {
    const fetched = take(table, messages, { ...options, first: 1 });
    expect(fetched).toMatchObject({ taken: messages.length - 1, encoding: 'keys', committed: [3] });
    expect(linesOf(fetched)).toEqual([
      '{"id":1,"_version":1}',
      '{"id":1,"_version":2}',
      '{"id":2,"_version":3}',
      '{"id":2,"_version":4}',
    ]);
  });

  it('is read after those have ended that write to the table, where the messages do not name their transactions', () => {
    const flat = recordedMessages('flat.toasty');
    expect(take(table, flat, { ...options, first: 1 })).toMatchObject({ encoding: 'keys', committed: 'unknown' });
  });
});

it('flat rows have no TRUNCATE', () => {
  const truncateOf = (way: string) => take(TWO, recordedMessages(`${way}.two`), { isNamed: true }).truncate;
  expect(['envelope', 'text', 'double'].map(truncateOf)).not.toContain(undefined);
  expect(['flat', 'rewrite'].map(truncateOf)).toEqual([undefined, undefined]);
});

it('a new snapshot is refused, because what was deleted before it has no message', () => {
  const messages = recordedMessages('envelope.two').slice(0, 13);
  const again = [...messages, ...messages];
  expect(take(TWO, again, { streamed: false })).toMatchObject({ taken: 13, streamed: true });
  expect(() => take(TWO, messages, { streamed: true })).toThrow('Debezium began a new snapshot at offset 0');
  expect(take(TWO, messages.slice(0, 2), { streamed: false })).not.toHaveProperty('streamed');
  // A replay, and a batch that was named.
  expect(take(TWO, again).taken).toBe(26);
  expect(take(TWO, again, { streamed: true, isNamed: true }).taken).toBe(26);
  const incremental = messages.map(({ key, value }) => ({
    key,
    value: value?.replace(/"snapshot":"[a-z_]+"/u, '"snapshot":"incremental"') ?? null,
  }));
  expect(take(TWO, incremental, { streamed: true }).taken).toBe(13);
});

it('a copy that begins between two messages wins over the first, and loses against the second', () => {
  const copied = composeVersion(2, BigInt(positionOfCopy('7')), 9n);
  expect(versionOf({ generation: 2, shape: 9 }, 6) < copied).toBe(true);
  expect(versionOf({ generation: 2, shape: 1 }, 7) > copied).toBe(true);
});

describe('columns that change', () => {
  const messages = recordedMessages('envelope.two');

  it('a field that the table has not ends the batch, and is named when it comes first', () => {
    expect(take(TWO, messages).taken).toBe(14);
    expect(() => take(TWO, messages, { first: 14 })).toThrow(UnknownColumns);
    expect(() => take(TWO, messages, { first: 14 })).toThrow('extra');
  });

  it('a row without all the columns of the table is read by its key', () => {
    const fetched = take(TWO, messages, { first: 15, ignored: ['extra', 'w'] });
    expect(fetched).toMatchObject({ encoding: 'keys', shape: 3, committed: [3] });
    expect(linesOf(fetched)[0]).toBe('{"a":9,"b":"after","_version":15}');
  });

  it('a batch that was named before is taken to its end, whatever the columns are by now', () => {
    const fetched = take(TWO, messages, { isNamed: true });
    expect(fetched).toMatchObject({ taken: messages.length, encoding: 'keys' });
    expect(fetched.values).toHaveLength(messages.length - 1);
  });
});

describe('messages that are not of this table', () => {
  const [message] = recordedMessages('envelope.two');
  const refuse = (value: string, key = message?.key ?? '') =>
    expect(() => take(TWO, [{ key, value }])).toThrowError(
      /^The message at offset 0 of shop\/0 is none that Debezium/u,
    );

  it.each([
    ['another table', (value: string) => value.replace('"table":"two"', '"table":"three"')],
    ['another operation', (value: string) => value.replace('"op":"r"', '"op":"x"')],
    ['no JSON', () => 'Struct{a=1}'],
    ['half a message', (value: string) => value.slice(0, -10)],
    ['a number', () => '1'],
  ])('%s', (_, change) => {
    refuse(change(message?.value ?? ''));
  });

  it('another key', () => {
    refuse(message?.value ?? '', '{"a":1}');
    refuse(message?.value ?? '', '{"a":1,"c":"x"}');
  });
});

describe('messages in Avro', () => {
  const int = (name: string) => ({ name, type: 'int' });
  const key = new WriterSchema(JSON.stringify({ type: 'record', name: 'K', fields: [int('a')] }));
  const row = new WriterSchema(
    JSON.stringify({ type: 'record', name: 'V', fields: [int('a'), { name: 'v', type: ['null', 'int'] }] }),
  );
  const table = tableOf('one', { a: 'integer', v: 'integer' }, ['a']);
  const schemas = new Map([
    [1, key],
    [2, row],
  ]);
  const message = (id: number, ...value: readonly number[]): RecordedMessage => ({
    key: String.fromCharCode(0, 0, 0, 0, 1, 2),
    value: String.fromCharCode(0, 0, 0, 0, id, ...value),
  });

  it('are read by the schemas that they name', () => {
    const fetched = take(table, [message(2, 2, 2, 10), message(2, 2, 0), { ...message(2), value: null }], { schemas });
    expect(linesOf(fetched)).toEqual([
      '{"a":1,"v":5,"_version":0,"_deleted":0}',
      '{"a":1,"v":null,"_version":1,"_deleted":0}',
      '{"a":1,"_version":2,"_deleted":1}',
    ]);
  });

  it('whose schema is not known end a batch, and are named where they come first', () => {
    const messages = [message(2, 2, 0), message(3, 2, 0)];
    expect(take(table, messages, { schemas }).taken).toBe(1);
    expect(() => take(table, messages, { schemas, first: 1 })).toThrow(UnknownSchema);
    expect(() => take(table, messages, { schemas, isNamed: true })).toThrow(UnknownSchema);
  });

  it.each([
    ['goes on behind its end', message(2, 2, 0, 0)],
    ['ends within a value', message(2, 2, 2)],
    ['is no record', { ...message(1), value: String.fromCharCode(0, 0, 0, 0, 4, 2) }],
  ])('are refused where one %s', (_, wrong) => {
    const more = new Map([...schemas, [4, new WriterSchema('"int"')]]);
    expect(() => take(table, [wrong], { schemas: more })).toThrow(
      /^The message at offset 0 of shop\/0 is none that Debezium writes for this table: it is (?:no record of the schema that it names|neither a JSON object nor a record of Avro)/u,
    );
  });
});
