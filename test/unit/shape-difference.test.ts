import { describe, expect, it } from 'vitest';
import type { Column } from '../../src/domain/replicated-table.js';
import { physicalName } from '../../src/domain/replicated-table.js';
import type { Shape } from '../../src/domain/shape.js';
import type { Fingerprint, FingerprintColumn } from '../../src/source/catalog/fingerprint.js';
import { shapeDifference, type FoundColumn, type ShapeDifference } from '../../src/source/catalog/shape-difference.js';

const ID: Column = { name: 'id', position: 1, type: 'integer', nullable: false };
const A: Column = { name: 'a', position: 2, type: 'integer', nullable: true };
const V: Column = { name: 'v', position: 3, type: 'text', nullable: true };
const COLUMNS = [ID, A, V];

interface Case {
  /** The columns before. */
  readonly was?: readonly Column[];
  /** The columns now. */
  readonly now: readonly FoundColumn[];
  /** PostgreSQL wrote the table again; the columns at these positions were changed with it. */
  readonly written?: readonly number[];
  readonly labels?: readonly [before: string, after: string];
  readonly shapes?: readonly Shape[];
  /** What else the fingerprint says of the column at position 2. */
  readonly noted?: readonly [before: Partial<FingerprintColumn>, after: Partial<FingerprintColumn>];
}

function compare({ was = COLUMNS, now, written, labels, shapes, noted = [{}, {}] }: Case): ShapeDifference {
  const look = (
    columns: readonly Column[],
    file: string,
    row: (position: number) => string,
    more: Partial<FingerprintColumn>,
    label?: string,
  ) => ({
    file,
    labels: label === undefined ? {} : { '7': label },
    columns: Object.fromEntries(
      columns.map(({ position }) => [
        position,
        { generated: null, collation: '0', row: row(position), ...(position === 2 ? more : {}) },
      ]),
    ) as unknown as Fingerprint['columns'],
  });
  const before = look(was, '1', () => '1', noted[0], labels?.[0]);
  const after = look(
    now,
    written === undefined ? '1' : '2',
    (position) => (written?.includes(position) === true ? '2' : '1'),
    noted[1],
    labels?.[1],
  );
  const table = { columns: was, key: ['id'], ...(shapes === undefined ? {} : { shapes }) };
  return shapeDifference({ table, columns: now, before, after });
}

const added = (more: Partial<FoundColumn> = {}): FoundColumn => ({
  name: 'c',
  position: 4,
  type: 'integer',
  nullable: true,
  ...more,
});
const like = (column: Column, more: Partial<Column>): Column => ({ ...column, ...more });

describe('a change of the columns', () => {
  it.each<[string, Case]>([
    ['a column is added', { now: [...COLUMNS, added()] }],
    ['a column is added with a constant default', { now: [...COLUMNS, added({ nullable: false, missing: '5' })] }],
    ['a column is dropped', { now: [ID, V] }],
    ['a column is renamed', { now: [ID, like(A, { name: 'b' }), V] }],
    ['the key column is renamed', { now: [like(ID, { name: 'number' }), A, V] }],
    ['two columns swap their names', { now: [ID, like(A, { name: 'v' }), like(V, { name: 'a' })] }],
    ['a text becomes a varchar that is not written again', { now: [ID, A, like(V, { type: 'character varying' })] }],
    ['a NOT NULL is dropped', { was: [ID, like(A, { nullable: false }), V], now: COLUMNS }],
    [
      'a numeric gets more digits',
      {
        was: [ID, like(A, { type: 'numeric', precision: 6, scale: 2 })],
        now: [ID, like(A, { type: 'numeric', precision: 12, scale: 2 })],
      },
    ],
  ])('is followed: %s', (_, change) => {
    const difference = compare(change);
    expect(difference.changes).not.toEqual([]);
    expect(difference).toMatchObject({ class: 'follow', refused: [] });
  });

  it.each<[string, Case]>([
    ['a default that is computed for each row', { now: [...COLUMNS, added()], written: [] }],
    ['a virtual column', { now: [...COLUMNS, added({ computed: true })] }],
    ['a wider integer', { now: [ID, like(A, { type: 'bigint' }), V], written: [2] }],
    [
      'a type that is not written again, and is printed in another way',
      { was: [ID, like(A, { type: 'cidr' })], now: [ID, like(A, { type: 'inet' })] },
    ],
    [
      'a type that is printed without its zone',
      {
        was: [ID, like(A, { type: 'timestamp with time zone', policy: 'text' })],
        now: [ID, like(A, { type: 'timestamp without time zone' })],
      },
    ],
    ['values that were written again under the same type', { now: COLUMNS, written: [2] }],
    [
      'values that were written again, and their default with them',
      {
        now: COLUMNS,
        written: [2],
        noted: [
          { missing: true, default: '9' },
          { missing: false, default: '10' },
        ],
      },
    ],
    [
      'values that were written again after their default was dropped',
      {
        now: COLUMNS,
        written: [2],
        noted: [
          { missing: true, default: null },
          { missing: false, default: null },
        ],
      },
    ],
    ['an enum label with another name', { now: COLUMNS, labels: ['sad', 'blue'] }],
    [
      'a numeric with more digits behind the point',
      {
        was: [ID, like(A, { type: 'numeric', precision: 6, scale: 2 })],
        now: [ID, like(A, { type: 'numeric', precision: 10, scale: 4 })],
        written: [2],
      },
    ],
  ])('has the table read again: %s', (_, change) => {
    expect(compare(change)).toMatchObject({ class: 'copy', refused: [] });
  });

  it.each<[string, Case]>([
    ['the key column is dropped', { now: [A, V] }],
    ['the key column gets another type', { now: [like(ID, { type: 'bigint' }), A, V], written: [1] }],
    [
      'the key column is printed in another way',
      { was: [like(ID, { type: 'cidr' }), A], now: [like(ID, { type: 'inet' }), A] },
    ],
    ['the key column was written again', { now: COLUMNS, written: [1] }],
    ['the key column may be NULL', { now: [like(ID, { nullable: true }), A, V] }],
    ['a type that the old column cannot hold', { now: [ID, like(A, { type: 'uuid' }), V], written: [2] }],
    ['a narrower type', { now: [ID, like(A, { type: 'smallint' }), V], written: [2] }],
    [
      'a numeric with fewer digits before the point',
      {
        was: [ID, like(A, { type: 'numeric', precision: 6, scale: 2 })],
        now: [ID, like(A, { type: 'numeric', precision: 7, scale: 4 })],
        written: [2],
      },
    ],
    [
      'a default that has no place in ClickHouse',
      { now: [...COLUMNS, added({ type: 'date', placeless: 'late dates' })] },
    ],
    ['a column with a name of ours', { now: [...COLUMNS, added({ name: '_version' })] }],
    ['a column with a name that ClickHouse keeps', { now: [...COLUMNS, added({ name: '_part' })] }],
    ['a column with the name of a part of another', { now: [...COLUMNS, added({ name: `${V.name}.size` })] }],
    [
      'a column whose part has the name of another',
      { was: [ID, like(A, { name: 'c.size' })], now: [ID, like(A, { name: 'c.size' }), added()] },
    ],
    [
      'a name under which another column is a part',
      { was: [ID, like(A, { name: 'c.null' }), V], now: [ID, like(A, { name: 'c.null' }), like(V, { name: 'c' })] },
    ],
    ['a name that becomes that of a part of another', { now: [ID, like(A, { name: `${V.name}.null` }), V] }],
  ])('is refused: %s', (_, change) => {
    expect(compare(change).refused).not.toEqual([]);
  });

  it.each<[string, Case]>([
    ['nothing', { now: COLUMNS }],
    [
      'a NOT NULL that was set: the column in ClickHouse goes on taking NULL',
      { now: [ID, like(A, { nullable: false }), V] },
    ],
    ['the table was written again, and no column changed', { now: COLUMNS, written: [] }],
    [
      'a constant default was written into the rows',
      {
        now: COLUMNS,
        written: [2],
        noted: [
          { missing: true, default: '9' },
          { missing: false, default: '9' },
        ],
      },
    ],
  ])('is none: %s', (_, change) => {
    expect(compare(change)).toMatchObject({ changes: [], refused: [], columns: COLUMNS });
  });
});

it('a choice of a ClickHouse type that does not fit any more is not repeated', () => {
  const was = [ID, like(A, { clickhouse: 'Int64' })];
  const { columns, refused } = compare({ was, now: [ID, like(A, { type: 'uuid' })], written: [2] });
  expect(refused).not.toEqual([]);
  expect(columns[1]).toEqual(like(A, { type: 'uuid' }));
  expect(compare({ was, now: [ID, like(A, { type: 'bigint' })], written: [2] }).columns[1]?.clickhouse).toBe('Int64');
});

it('a default without a place leads to a table that is added with a policy for the column', () => {
  const { columns } = compare({ now: [...COLUMNS, added({ type: 'date', placeless: 'late dates' })] });
  expect(columns.at(-1)).toEqual(added({ type: 'date', policy: 'text' }));
});

describe('the name of a column in ClickHouse', () => {
  const placesOf = (change: Case): string[] =>
    compare(change).columns.map((column) => `${column.name} ${physicalName(column)}`);

  it('stays that of the attribute when the column is renamed', () => {
    expect(placesOf({ now: [ID, like(A, { name: 'v' }), like(V, { name: 'a' })] })).toEqual(['id id', 'v a', 'a v']);
  });

  it('is not that of a renamed column', () => {
    expect(placesOf({ now: [ID, like(A, { name: 'b' }), V, added({ name: 'a' })] })).toEqual([
      'id id',
      'b a',
      'v v',
      'a a_4',
    ]);
  });

  it('is not one that has a dropped column as its part', () => {
    const columns = [...COLUMNS, { ...A, name: 'c.size', position: 9 }];
    const first = { shape: 1, generation: 1, columns, class: 'follow', change: '', notedAt: '' } as const;
    expect(placesOf({ now: [...COLUMNS, added()], shapes: [first] }).at(-1)).toBe('c c_4');
  });

  it('is not that of a column that was dropped, however long ago', () => {
    const first = { shape: 1, generation: 1, columns: COLUMNS, class: 'follow', change: '', notedAt: '' } as const;
    expect(placesOf({ was: [ID, V], now: [ID, V, added({ name: 'a' })], shapes: [first] })).toEqual([
      'id id',
      'v v',
      'a a_4',
    ]);
    const taken = { ...first, columns: [...COLUMNS, { ...A, name: 'a_4', position: 9 }] };
    expect(placesOf({ was: [ID], now: [ID, added({ name: 'a' })], shapes: [taken] })).toEqual(['id id', 'a a_4_']);
  });
});

/** As `add --rename-column a=total` has it. */
const CALLED: Column = { ...A, shown: 'total' };

describe('a column that was given another name when it was added', () => {
  it('keeps that name, whatever PostgreSQL calls it', () => {
    const { columns, refused, class: kind } = compare({ was: [ID, CALLED, V], now: [ID, like(A, { name: 'b' }), V] });
    expect(columns[1]).toMatchObject({ name: 'b', shown: 'total' });
    expect(columns.map(physicalName)).toEqual(['id', 'total', 'v']);
    expect([kind, refused]).toEqual(['follow', []]);
  });

  it('leaves its old name to a new column', () => {
    const { columns, refused } = compare({
      was: [ID, CALLED, V],
      now: [ID, like(A, { name: 'b' }), V, added({ name: 'a' })],
    });
    expect(columns.map(physicalName)).toEqual(['id', 'total', 'v', 'a']);
    expect(refused).toEqual([]);
  });

  it.each<[string, FoundColumn[]]>([
    ['added', [ID, A, V, added({ name: 'total' })]],
    ['renamed to it', [ID, A, like(V, { name: 'total' })]],
  ])('parks the table when another column of that name is %s, and the way out has no two of one name', (_, now) => {
    const { columns, refused } = compare({ was: [ID, CALLED, V], now });
    expect(refused).toEqual([expect.stringMatching(/total.*: column a has that name in ClickHouse$/u)]);
    const last = columns.find(({ name }) => name === 'total');
    expect(last?.shown).toBe(`total_${last?.position}`);
  });
});
