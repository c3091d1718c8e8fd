import {
  physicalName,
  POLICIES,
  shownName,
  takesNull,
  type Column,
  type Policy,
  type ReplicatedTable,
} from './replicated-table.js';
import { same, string } from './types/expressions.js';
import { rowOf } from './types/rows.js';
import type { Expression, Identity, Outside, Place, Printing, TypeRow } from './types/type.js';

/**
 * How the values of a column are sent. All roads (copy, drain, by key, poll) give ClickHouse the same text, so a row that was copied
 * and the same row read again from the outbox are equal.
 *
 * The expressions count on the session: see `BEGIN_READING`.
 */
export interface ColumnType extends Printing, Identity {
  /** The type of the target's column, Nullable where it takes NULL. */
  readonly clickhouse: (column: Column) => string;
  /** JSON of the value itself, whatever the policy makes of it: what tells keys apart, and what a row is read by. */
  readonly exactJson: Expression;
  /**
   * JSON of the value as Debezium writes it. What has no place in ClickHouse is sent as it is, but for the policies `null` and `clamp`: who
   * loads it refuses it. Undefined where it is `json`.
   */
  readonly debezium?: Expression;
  /** Values without a place, of the column itself: what the policy is about. Undefined where every value has one. */
  readonly outside:
    | (Pick<Outside, 'when' | 'words'> & {
        readonly policies: readonly Policy[];
        /** What is sent in their place under the policy `refuse`, as a text in small letters; absent where they are sent as they are. */
        readonly mark?: string | undefined;
      })
    | undefined;
}

export function columnType(column: Column): ColumnType {
  const row = rowOf(column);
  const place = placeOf(row, column) ?? row.place(column);
  const { key, image, textImage, equals } = row;
  const guarded = guard(place, column.policy ?? 'refuse');
  const { copy, json, jsonText, debezium, absent, outside, value: of = same } = place;
  const asIs = column.policy === undefined || column.policy === 'refuse' ? (place.value ?? same) : guarded;
  return {
    copy: (value) => copy(guarded(value)),
    json: (value) => json(guarded(value)),
    exactJson: (value) => json((place.value ?? same)(value)),
    ...(debezium === undefined ? {} : { debezium: (value: string) => debezium(asIs(value)) }),
    ...(jsonText === undefined ? {} : { jsonText: (value: string) => jsonText(guarded(value)) }),
    absent,
    key,
    image,
    ...(textImage === undefined ? {} : { textImage }),
    ...(equals === undefined ? {} : { equals }),
    clickhouse: (target) => orNull(place.clickhouse, takesNull(target)),
    outside: outside && {
      words: outside.words,
      mark: outside.mark?.replaceAll("'", '').toLowerCase(),
      when: (value) => outside.when(of(value)),
      policies: POLICIES.filter((policy) => policy !== 'clamp' || outside.nearest !== undefined),
    },
  };
}

/** What the outbox keeps of a value of a key: of the column's own type. */
export function storedKey(column: Column, value: string): string {
  const { image, textImage } = columnType(column);
  return textImage === true ? value : image(value);
}

/** Any value fits in these, as its exact text. */
const TEXTS: readonly string[] = ['String', 'LowCardinality(String)'];

/**
 * Where the user wants the values of a column.
 * @returns undefined for a ClickHouse type that has nothing to do with them
 */
export function placeOf(row: TypeRow, column: Column): Place | undefined {
  const { clickhouse, policy } = column;
  if (clickhouse === undefined) return policy === 'text' ? textOf(row, column) : row.place(column);
  return TEXTS.includes(clickhouse) ? string(row.text, row.text, clickhouse) : row.choose?.(clickhouse, column);
}

/** Where it is a text already it stays as it is. */
function textOf(row: TypeRow, column: Column): Place {
  const place = row.place(column);
  return TEXTS.includes(place.clickhouse) ? place : string(row.text);
}

/** What a policy makes of a value before it is printed: a plain column stays the plain column, and costs nothing. */
function guard({ value = same, outside }: Place, policy: Policy): Expression {
  if (outside === undefined || policy === 'text') return value;
  const { when, nearest, mark } = outside;
  const otherwise = (treated: (number: string) => string | undefined): Expression => {
    return (column) => {
      const plain = value(column);
      const instead = treated(plain);
      return instead === undefined ? plain : `(case when ${when(plain)} then ${instead} else ${plain} end)`;
    };
  };
  return {
    // The row is refused, never changed: it goes to quarantine.
    refuse: otherwise(() => mark),
    null: otherwise(() => 'null'),
    clamp: otherwise((plain) => nearest?.(plain) ?? mark),
  }[policy];
}

function orNull(clickhouse: string, nullable: boolean): string {
  if (!nullable) return clickhouse;
  return clickhouse === 'LowCardinality(String)' ? 'LowCardinality(Nullable(String))' : `Nullable(${clickhouse})`;
}

/** Names of the two columns that every target has beside the user's. */
export const VERSION_COLUMN = '_version';
export const DELETED_COLUMN = '_deleted';

/** Names that a column of a target cannot have: ours, those that ClickHouse stores in each part, and the name of the part, which we read. */
export const RESERVED_COLUMNS: readonly string[] = [
  VERSION_COLUMN,
  DELETED_COLUMN,
  '_row_exists',
  '_block_number',
  '_block_offset',
  '_part',
];

/**
 * The columns of the target in the order in which copies send them: the user's by position, then the version and the mark
 * of a tombstone.
 */
export function targetColumns(table: Pick<ReplicatedTable, 'columns'>): { name: string; type: string }[] {
  return [
    ...byPosition(table.columns).map((column) => ({
      name: physicalName(column),
      type: columnType(column).clickhouse(column),
    })),
    { name: VERSION_COLUMN, type: 'UInt128' },
    { name: DELETED_COLUMN, type: 'UInt8' },
  ];
}

/** The names of the same columns in messages: those of the header of rows in COPY text. */
export function messageColumns(table: Pick<ReplicatedTable, 'columns'>): string[] {
  return [...byPosition(table.columns).map(shownName), VERSION_COLUMN, DELETED_COLUMN];
}

export function byPosition(columns: readonly Column[]): Column[] {
  return columns.toSorted((a, b) => a.position - b.position);
}
