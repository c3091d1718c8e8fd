import { describe, expect, test } from 'vitest';
import type { Change } from '../../src/domain/change.js';
import { parseHeader, printHeader } from '../../src/domain/message-header.js';
import { envelopeFor } from '../../src/transport/envelope/envelope-for.js';
import { HeaderWriter } from '../../src/transport/header-writer.js';
import { Highest } from '../../src/transport/highest.js';
import { Parcels, type Parcel } from '../../src/transport/parcel.js';
import { partitionOf } from '../../src/transport/partition.js';
import { changeOf, idsOf, markOf } from '../support/kafka.js';
import { decodeBatch, HERE, type Decoded } from '../support/record-batch.js';
import { spanOf, textOf } from '../support/spans.js';

const NAME = { generation: 3, batch: 17 };

interface Given {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string;
  readonly rows: number;
  readonly highest: string;
  readonly kind: 'rows' | 'truncate';
}

function seal(format: 'json' | 'packed', partitions: number, list: readonly Change[]): Given[] {
  const envelope = envelopeFor(format, partitions);
  const given: Given[] = [];
  const give: Parameters<typeof envelope.end>[0] = ({ key, value, highest, ...rest }) =>
    given.push({ ...rest, key: key && textOf(key), value: textOf(value), highest: textOf(highest) });
  for (const change of list) envelope.add(change, give);
  envelope.end(give);
  return given;
}

function parcelsOf(
  format: 'json' | 'packed',
  partitions: number,
  list: readonly Change[],
): { parcels: Parcel[]; total: Parcels['total'] } {
  const envelope = envelopeFor(format, partitions);
  const collected = new Parcels(NAME, 900_000);
  const parcels: Parcel[] = [];
  for (const change of list) {
    envelope.add(change, (sealed) => collected.add(sealed));
    parcels.push(...collected.takeFull());
  }
  envelope.end((sealed) => collected.add(sealed));
  parcels.push(...collected.end());
  return { parcels, total: collected.total };
}

const recordsOf = async (parcels: readonly Parcel[]): Promise<Decoded[]> =>
  (await Promise.all(parcels.map(({ batch }) => decodeBatch(batch.finish(HERE, 0))))).flatMap(({ records }) => records);

const changes = (count: number, width?: number) => Array.from({ length: count }, (_, id) => changeOf(id, width));

describe('an envelope', () => {
  test('json is one row a message under its key, in the partition of its key', () => {
    const given = seal('json', 4, changes(50));
    expect(given).toHaveLength(50);
    for (const one of given) {
      expect(one).toMatchObject({ rows: 1, kind: 'rows', highest: String(idsOf([Buffer.from(one.value)])[0]) });
      expect(one.partition).toBe(partitionOf(spanOf(one.key ?? ''), 4));
    }
  });

  test('packed is blocks of at most 256 KB, whose rows share the partition of their keys', () => {
    const given = seal('packed', 3, changes(20_000));
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
    const given = seal('packed', 1, [changeOf(1), changeOf(2, 400_000), changeOf(3), changeOf(4)]);
    expect(given.map(({ value }) => idsOf([Buffer.from(value)]))).toEqual([[1], [2], [3, 4]]);
    expect(given.map(({ rows, highest }) => [rows, highest])).toEqual([
      [1, '1'],
      [1, '2'],
      [2, '4'],
    ]);
  });

  test.each(['json', 'packed'] as const)(
    '%s sends a TRUNCATE mark alone, after the rows before it, in partition 0',
    (format) => {
      const given = seal(format, 1, [changeOf(1), markOf(2, 99n), changeOf(3)]);
      expect(given.map(({ kind }) => kind)).toEqual(['rows', 'truncate', 'rows']);
      expect(given[1]).toMatchObject({ partition: 0, key: null, rows: 0, highest: '2' });
    },
  );
});

describe('a parcel', () => {
  test('holds as many messages as fit into 900 KB, below max.message.bytes, and is of one partition', async () => {
    const { parcels, total } = parcelsOf('json', 3, [...changes(12_000, 1), ...changes(1_000, 3_000)]);
    for (const { batch, partition } of parcels) {
      const bytes = batch.finish(HERE, 0);
      expect(bytes.length).toBeLessThanOrEqual(900_000);
      const { records } = await decodeBatch(bytes);
      expect(records.every(({ key }) => partitionOf(spanOf(String(key)), 3) === partition)).toBe(true);
    }
    expect(Math.max(...parcels.map(({ batch }) => batch.records))).toBeGreaterThan(3_000);
    expect(Math.max(...parcels.map(({ batch }) => batch.size))).toBeGreaterThan(890_000);
    expect(total).toMatchObject({ rows: 13_000, messages: 13_000 });
  });

  test.each([
    ['json', 3_000],
    ['packed', 12_000],
  ] as const)('of %s numbers the rows of the batch without a gap', async (format, count) => {
    const { parcels, total } = parcelsOf(format, 1, changes(count));
    let row = 0;
    let bytes = 0;
    for (const { header, key, value } of await recordsOf(parcels)) {
      const parsed = parseHeader(String(header));
      expect(parsed).toMatchObject({ ...NAME, row });
      row += parsed?.rows ?? 0;
      bytes += (key?.length ?? 0) + (value?.length ?? 0);
    }
    expect(total).toMatchObject({ rows: count, bytes });
    expect(row).toBe(count);
  });

  test('of a message that fills it goes at once', () => {
    const parcels = new Parcels(NAME, 900_000);
    const give = (number: number, width: number): void =>
      envelopeFor('json', 1).add(changeOf(number, width), (sealed) => parcels.add(sealed));
    give(1, 10);
    expect(parcels.hasFull).toBe(false);
    give(2, 2_000_000);
    expect(parcels.takeFull().map(({ batch }) => batch.records)).toEqual([1, 1]);
    expect(parcels.end()).toEqual([]);
  });
});

describe('a header', () => {
  test('is written as it is printed', () => {
    for (const [row, rows, highest, kind] of [
      [0, 1, '1', 'rows'],
      [9, 10, '99', 'rows'],
      [10, 0, '9223372036854775807', 'truncate'],
      [1_234_567, 20_000, '1000000', 'rows'],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, '0', 'truncate'],
    ] as const)
      for (const generation of [1, 4_294_967_295]) {
        const name = { generation, batch: 10 };
        const written = textOf(new HeaderWriter(name).write(row, rows, spanOf(highest), kind));
        expect(written).toBe(printHeader({ ...name, row, rows, highest, kind }));
      }
  });
});

test('the highest of many numbers is found by their digits', () => {
  const highest = new Highest();
  for (const [digits, expected] of [
    ['9', '9'],
    ['10', '10'],
    ['9', '10'],
    ['19', '19'],
    ['18', '19'],
    ['9223372036854775807', '9223372036854775807'],
    ['9223372036854775806', '9223372036854775807'],
  ] as const) {
    highest.show(spanOf(digits));
    expect(textOf(highest)).toBe(expected);
  }
  highest.clear();
  highest.show(spanOf('3'));
  expect(textOf(highest)).toBe('3');
});
