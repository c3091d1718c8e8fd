import { describe, expect, test } from 'vitest';
import { parseHeader } from '../../src/domain/message-header.js';
import { envelopeFor } from '../../src/transport/envelope/envelope-for.js';
import type { Sealed } from '../../src/transport/envelope/envelope.js';
import { ParcelCounter, type Parcel } from '../../src/transport/parcel.js';
import { partitionOf } from '../../src/transport/partition.js';
import { changeOf, idsOf, markOf } from '../support/kafka.js';

const NAME = { generation: 3, batch: 17 };

function parcelsOf(sealed: readonly Sealed[], mostBytes = 900_000): Parcel[] {
  const counter = new ParcelCounter(NAME, mostBytes);
  const full = sealed.flatMap((one) => counter.add(one) ?? []);
  return [...full, ...counter.end()];
}

function seal(
  format: 'json' | 'packed',
  partitions: number,
  changes: readonly ReturnType<typeof changeOf>[],
): Sealed[] {
  const envelope = envelopeFor(format, partitions);
  const sealed: Sealed[] = [];
  for (const change of changes) envelope.add(change, (one) => sealed.push(one));
  envelope.end((one) => sealed.push(one));
  return sealed;
}

const changes = (count: number, width?: number) => Array.from({ length: count }, (_, id) => changeOf(id, width));

describe('an envelope', () => {
  test('json is one row a message under its key, in the partition of its key', () => {
    for (const sealed of seal('json', 4, changes(50))) {
      expect(sealed).toMatchObject({ rows: 1, kind: 'rows' });
      expect(sealed.partition).toBe(partitionOf(sealed.key ?? Buffer.alloc(0), 4));
    }
  });

  test('packed is blocks of at most 256 KB, whose rows share the partition of their keys', () => {
    const sealed = seal('packed', 3, changes(20_000));
    expect(Math.max(...sealed.map(({ value }) => value.length))).toBeLessThanOrEqual(256 * 1024);
    expect(sealed.length).toBeLessThan(12);
    expect(sealed.reduce((sum, { rows }) => sum + rows, 0)).toBe(20_000);
    for (const { value, partition, rows, highest, key } of sealed) {
      const ids = idsOf([value]);
      expect(key).toBeNull();
      expect(ids).toHaveLength(rows);
      expect(ids.every((id) => partitionOf(Buffer.from(`[${id}]`), 3) === partition)).toBe(true);
      expect(highest).toBe(String(Math.max(...ids)));
    }
    expect(idsOf(sealed.map(({ value }) => value)).toSorted((a, b) => a - b)).toEqual(
      changes(20_000).map((_, id) => id),
    );
  });

  test('packed keeps a row that is larger than a block', () => {
    const sealed = seal('packed', 1, [changeOf(1), changeOf(2, 400_000), changeOf(3)]);
    expect(sealed.map(({ value }) => idsOf([value]))).toEqual([[1], [2], [3]]);
  });

  test.each(['json', 'packed'] as const)(
    '%s sends a TRUNCATE mark alone, after the rows before it, in partition 0',
    (format) => {
      const sealed = seal(format, 1, [changeOf(1), markOf(2, 99n), changeOf(3)]);
      expect(sealed.map(({ kind }) => kind)).toEqual(['rows', 'truncate', 'rows']);
      expect(sealed[1]).toMatchObject({ partition: 0, key: null, rows: 0, highest: '2' });
    },
  );
});

describe('a parcel', () => {
  test('holds at most 1,000 messages: kafkajs groups them in quadratic time', () => {
    const parcels = parcelsOf(seal('json', 1, changes(2_500)));
    expect(parcels.map(({ messages }) => messages.length)).toEqual([1_000, 1_000, 500]);
  });

  test('holds at most 900 KB, below max.message.bytes, and is of one partition', () => {
    const parcels = parcelsOf(seal('json', 3, changes(2_000, 3_000)));
    for (const parcel of parcels) {
      expect(parcel.messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)).toBeLessThanOrEqual(900_000);
      expect(new Set(parcel.messages.map(({ partition }) => partition))).toEqual(new Set([parcel.partition]));
    }
    expect(parcels.reduce((sum, { messages }) => sum + messages.length, 0)).toBe(2_000);
  });

  test('numbers the rows of the batch without a gap', () => {
    const headers = parcelsOf(seal('packed', 1, changes(12_000)))
      .flatMap(({ messages }) => messages)
      .map(({ headers }) => parseHeader(String(headers?.['pg2click'])));
    let row = 0;
    for (const header of headers) {
      expect(header).toMatchObject({ ...NAME, row });
      row += header?.rows ?? 0;
    }
    expect(row).toBe(12_000);
  });
});
