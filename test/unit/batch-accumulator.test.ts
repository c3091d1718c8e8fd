import { describe, expect, test } from 'vitest';
import type { Change } from '../../src/domain/change.js';
import { partitionOf } from '../../src/kafka/protocol/partitioner.js';
import type { Emit, MessageEncoder } from '../../src/messages/encoder.js';
import { FORMATS } from '../../src/messages/formats.js';
import { parseHeader, type MessageKind } from '../../src/messages/header.js';
import { MaxSeq } from '../../src/messages/packed.js';
import { BatchAccumulator, type ReadyBatch } from '../../src/topic/batch-accumulator.js';
import { changeOf, idsOf, markOf } from '../support/kafka.js';
import { decodeBatch, HERE, type Decoded } from '../support/record-batch.js';
import { spanOf, textOf } from '../support/spans.js';

const NAME = { origin: 'c0ffee00', generation: 3, shape: 4, batch: 17 };

interface Given {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string;
  readonly rows: number;
  readonly highest: string;
  readonly kind: MessageKind;
}

const encoderOf = (format: 'json' | 'packed', partitions: number, columns?: readonly string[]): MessageEncoder =>
  new FORMATS[format].Encoder({ partitions, columns });

function encode(format: 'json' | 'packed', partitions: number, list: readonly Change[]): Given[] {
  const encoder = encoderOf(format, partitions);
  const given: Given[] = [];
  const emit: Emit = ({ key, value, highest, partition, rows, kind }) =>
    given.push({
      partition,
      rows,
      kind,
      key: key && textOf(key),
      value: value === null ? '' : textOf(value),
      highest: textOf(highest),
    });
  for (const change of list) encoder.add(change, emit);
  encoder.end(emit);
  return given;
}

function batchesOf(
  format: 'json' | 'packed',
  partitions: number,
  list: readonly Change[],
  columns?: readonly string[],
): { batches: ReadyBatch[]; total: BatchAccumulator['total'] } {
  const encoder = encoderOf(format, partitions, columns);
  const accumulator = new BatchAccumulator(NAME, 900_000);
  const batches: ReadyBatch[] = [];
  for (const change of list) {
    encoder.add(change, (message) => accumulator.add(message));
    batches.push(...accumulator.takeReady());
  }
  encoder.end((message) => accumulator.add(message));
  batches.push(...accumulator.end());
  return { batches, total: accumulator.total };
}

const recordsOf = async (batches: readonly ReadyBatch[]): Promise<Decoded[]> =>
  (await Promise.all(batches.map(({ batch }) => decodeBatch(batch.finish(HERE, 0))))).flatMap(({ records }) => records);

const changes = (count: number, width?: number) => Array.from({ length: count }, (_, id) => changeOf(id, width));

describe('an encoder', () => {
  test('json is one row a message under its key, in the partition of its key', () => {
    const given = encode('json', 4, changes(50));
    expect(given).toHaveLength(50);
    for (const one of given) {
      expect(one).toMatchObject({ rows: 1, kind: 'rows', highest: String(idsOf([Buffer.from(one.value)])[0]) });
      expect(one.partition).toBe(partitionOf(spanOf(one.key ?? ''), 4));
    }
  });

  test('packed is blocks of at most 256 KB, whose rows share the partition of their keys', () => {
    const given = encode('packed', 3, changes(20_000));
    expect(Math.max(...given.map(({ value }) => value.length))).toBeLessThanOrEqual(256 * 1024);
    expect(given.length).toBeLessThan(12);
    expect(given.reduce((sum, { rows }) => sum + rows, 0)).toBe(20_000);
    for (const { value, partition, rows, highest, key } of given) {
      const ids = idsOf([Buffer.from(value)]);
      expect(key).toBeNull();
      expect(ids).toHaveLength(rows);
      expect(ids.every((id) => partitionOf(spanOf(`[${id}]`), 3) === partition)).toBe(true);
      expect(highest).toBe(String(Math.max(...ids)));
    }
    expect(idsOf(given.map(({ value }) => Buffer.from(value))).toSorted((a, b) => a - b)).toEqual(
      changes(20_000).map((_, id) => id),
    );
  });

  test('packed keeps a row that is larger than a block', () => {
    const given = encode('packed', 1, [changeOf(1), changeOf(2, 400_000), changeOf(3), changeOf(4)]);
    expect(given.map(({ value }) => idsOf([Buffer.from(value)]))).toEqual([[1], [2], [3, 4]]);
    expect(given.map(({ rows, highest }) => [rows, highest])).toEqual([
      [1, '1'],
      [1, '2'],
      [2, '4'],
    ]);
  });

  test.each(['json', 'packed'] as const)(
    '%s sends a TRUNCATE marker alone, after the rows before it, in partition 0',
    (format) => {
      const given = encode(format, 1, [changeOf(1), markOf(2, 99n), changeOf(3)]);
      expect(given.map(({ kind }) => kind)).toEqual(['rows', 'truncate', 'rows']);
      expect(given[1]).toMatchObject({ partition: 0, key: null, rows: 0, highest: '2' });
    },
  );
});

describe('a record batch', () => {
  test('holds as many messages as fit into 900 KB, below max.message.bytes, and is of one partition', async () => {
    const { batches, total } = batchesOf('json', 3, [...changes(12_000, 1), ...changes(1_000, 3_000)]);
    for (const { batch, partition } of batches) {
      const bytes = batch.finish(HERE, 0);
      expect(bytes.length).toBeLessThanOrEqual(900_000);
      const { records } = await decodeBatch(bytes);
      expect(records.every(({ key }) => partitionOf(spanOf(String(key)), 3) === partition)).toBe(true);
    }
    expect(Math.max(...batches.map(({ batch }) => batch.records))).toBeGreaterThan(3_000);
    expect(Math.max(...batches.map(({ batch }) => batch.size))).toBeGreaterThan(890_000);
    expect(total).toMatchObject({ rows: 13_000, messages: 13_000 });
  });

  test.each([
    ['json', 3_000],
    ['packed', 12_000],
  ] as const)('of %s numbers the rows of the batch without a gap', async (format, count) => {
    const { batches, total } = batchesOf(format, 1, changes(count));
    let row = 0;
    let bytes = 0;
    for (const { header, key, value } of await recordsOf(batches)) {
      const parsed = parseHeader(String(header));
      expect(parsed).toMatchObject({ ...NAME, row });
      row += parsed?.rows ?? 0;
      bytes += (key?.length ?? 0) + (value?.length ?? 0);
    }
    expect(total).toMatchObject({ rows: count, bytes });
    expect(row).toBe(count);
  });

  test('of a message that fills it goes at once', () => {
    const accumulator = new BatchAccumulator(NAME, 900_000);
    const add = (number: number, width: number): void =>
      encoderOf('json', 1).add(changeOf(number, width), (message) => accumulator.add(message));
    add(1, 10);
    expect(accumulator.hasReady).toBe(false);
    add(2, 2_000_000);
    expect(accumulator.takeReady().map(({ batch }) => batch.records)).toEqual([1, 1]);
    expect(accumulator.end()).toEqual([]);
  });
});

test('packed names the columns of COPY text in a header, and a TRUNCATE marker has none', async () => {
  const columns = ['id', 'a "name"', 'größe', '_version', '_deleted'];
  const { batches } = batchesOf('packed', 1, [changeOf(1), markOf(2, 9n), changeOf(3)], columns);
  const headers = (await recordsOf(batches)).map((record) => record.headers['pg2click-columns']);
  expect(headers.map((header) => header && (JSON.parse(String(header)) as unknown))).toEqual([
    columns,
    undefined,
    columns,
  ]);
  const { batches: many } = batchesOf('packed', 1, changes(40_000), Array<string>(2_000).fill('a column'));
  for (const { batch } of many) expect(batch.size).toBeLessThanOrEqual(900_000);
});

test.each(['json', 'packed'] as const)('%s has one header without columns', async (format) => {
  const { batches } = batchesOf(format, 1, changes(10));
  for (const { headers } of await recordsOf(batches)) expect(Object.keys(headers)).toEqual(['pg2click']);
});

test('the highest of many numbers is found by their digits', () => {
  const highest = new MaxSeq();
  for (const [digits, expected] of [
    ['9', '9'],
    ['10', '10'],
    ['9', '10'],
    ['19', '19'],
    ['18', '19'],
    ['9223372036854775807', '9223372036854775807'],
    ['9223372036854775806', '9223372036854775807'],
  ] as const) {
    highest.add(spanOf(digits));
    expect(textOf(highest)).toBe(expected);
  }
  highest.clear();
  highest.add(spanOf('3'));
  expect(textOf(highest)).toBe('3');
});
