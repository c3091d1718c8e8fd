import { describe, expect, test } from 'vitest';
import { FetchMemory } from '../../src/kafka/client/fetch-memory.js';
import { originNumber } from '../../src/messages/header.js';
import { FetchedBuilder, type Expected, type Fetched } from '../../src/topic/fetched.js';
import { PartitionBuffer } from '../../src/topic/partition-buffer.js';
import { encodeBatch } from '../support/record-batches.js';

const NO_LIMITS = { maxRows: 1_000, maxBytes: 1_000_000, maxKeys: 3 };

/** A message: its header without origin and generation, its value, and its columns. */
interface Message {
  readonly shape?: number;
  readonly origin?: string;
  readonly generation?: number;
  readonly rows?: number;
  readonly truncate?: boolean;
  readonly isKey?: boolean;
  readonly value?: string;
  readonly columns?: string;
  readonly header?: string;
}

/** Takes batches until all messages are taken. */
async function batchesOf(messages: readonly Message[], expected: Expected = {}): Promise<Fetched[]> {
  const records = messages.map((message, index) => {
    const {
      shape = 1,
      origin = '00000000',
      generation = 1,
      rows = 1,
      truncate = false,
      isKey = false,
      value = 'x',
      columns,
    } = message;
    const header =
      message.header ??
      `2/${origin}/${generation}/${shape}/7/${index}/${rows}/${index + 1}${truncate ? '/truncate' : isKey ? '/key' : ''}`;
    return {
      value: Buffer.from(truncate ? `{"_version":"${index + 1}"}` : value),
      headers: { pg2click: header, ...(columns === undefined ? {} : { 'pg2click-columns': columns }) },
    };
  });
  const buffer = new PartitionBuffer('t', 0, new FetchMemory(), { next: 0, high: messages.length });
  buffer.accept(await encodeBatch({ first: 0, records }));
  const batches: Fetched[] = [];
  while (!buffer.isEmpty) {
    const builder = new FetchedBuilder('t', NO_LIMITS, expected);
    buffer.drainInto(builder);
    batches.push(builder.finish());
  }
  return batches;
}

const offsetsOf = (batches: readonly Fetched[]) => batches.map(({ ranges }) => [ranges['0']?.first, ranges['0']?.last]);

describe('a batch', () => {
  test('has one shape, and says which', async () => {
    const batches = await batchesOf([{}, {}, { shape: 2 }, { shape: 2, truncate: true }, { shape: 3 }]);
    expect(offsetsOf(batches)).toEqual([
      ['0', '1'],
      ['2', '3'],
      ['4', '4'],
    ]);
    expect(batches.map(({ shape }) => shape)).toEqual([1, 2, 3]);
  });

  test('takes messages of the old form as those of the first shape, from any deployment', async () => {
    const batches = await batchesOf([{ header: '1/6/0/1/1' }, {}, { shape: 2 }], { origin: originNumber('00000000') });
    expect(batches.map(({ shape, rows }) => [shape, rows])).toEqual([
      [1, 2],
      [2, 1],
    ]);
    expect(batches[0]?.headers['0']).toBe('2/00000000/1/1/7/1/1/2');
  });

  test('passes over the shapes of an older generation', async () => {
    const batches = await batchesOf([{ generation: 1, shape: 9 }, { generation: 2 }], { generation: 2 });
    expect(batches).toMatchObject([{ shape: 1, rows: 1, ranges: { '0': { first: '0', last: '1' } } }]);
  });

  test('of keys holds no rows, and no more keys than it may', async () => {
    const keys = Array.from({ length: 4 }, () => ({ isKey: true }));
    const batches = await batchesOf([{}, ...keys, {}]);
    expect(batches.map(({ encoding, rows }) => [encoding, rows])).toEqual([
      ['JSONEachRow', 1],
      ['keys', 3],
      ['keys', 1],
      ['JSONEachRow', 1],
    ]);
  });

  test('of keys takes the TRUNCATE marks between them', async () => {
    const batches = await batchesOf([{ isKey: true }, { truncate: true }, { isKey: true }]);
    expect(batches).toMatchObject([{ encoding: 'keys', rows: 2, truncate: '2', highest: '3' }]);
  });

  test('of JSON rows has no columns', async () => {
    const [batch] = await batchesOf([{ value: '{"id":1}\n{"id":2}', rows: 2 }]);
    expect(batch).toMatchObject({ encoding: 'JSONEachRow', rows: 2 });
    expect(batch).not.toHaveProperty('columns');
  });

  test('of COPY text names its columns', async () => {
    const [batch] = await batchesOf([{ value: '1\tb\n2\tc', rows: 2, columns: '["id","größe"]' }]);
    expect(batch).toMatchObject({ encoding: 'TabSeparated', columns: ['id', 'größe'], rows: 2 });
    expect(batch?.values.map(String)).toEqual(['1\tb\n2\tc']);
  });

  test('ends where the columns or the encoding change', async () => {
    const batches = await batchesOf([
      { columns: '["a"]' },
      { columns: '["a"]' },
      { columns: '["a","b"]' },
      {},
      { columns: '["a"]' },
    ]);
    expect(offsetsOf(batches)).toEqual([
      ['0', '1'],
      ['2', '2'],
      ['3', '3'],
      ['4', '4'],
    ]);
    expect(batches.map(({ columns }) => columns)).toEqual([['a'], ['a', 'b'], undefined, ['a']]);
  });

  test('keeps its encoding across a TRUNCATE marker, which has none', async () => {
    const batches = await batchesOf([{ columns: '["a"]' }, { truncate: true }, { columns: '["a"]' }]);
    expect(batches).toMatchObject([{ encoding: 'TabSeparated', rows: 2, truncate: '2' }]);
    const [first, ...others] = await batchesOf([{ truncate: true }, { columns: '["a"]' }]);
    expect(others).toEqual([]);
    expect(first).toMatchObject({ encoding: 'TabSeparated', columns: ['a'] });
  });

  test.each(['', 'a', '{"a":1}', '[1]'])('whose columns are %j was not written by us', async (columns) => {
    await expect(batchesOf([{ columns }])).rejects.toMatchObject({ kind: 'TopicReplaced' });
  });

  test('ends before the message of another deployment, which is refused then', async () => {
    const messages = [{ origin: '0a1b2c3d' }, { origin: '0a1b2c3d' }, { origin: 'ffffffff' }];
    await expect(batchesOf(messages, { origin: originNumber('0a1b2c3d') })).rejects.toMatchObject({
      kind: 'TopicReplaced',
      message: expect.stringContaining(
        'at offset 2 of t/0 was written by deployment ffffffff, this is deployment 0a1b2c3d',
      ),
    });
  });
});
