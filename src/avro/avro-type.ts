import { byPosition, columnType } from '../domain/column-type.js';
import { shownName, takesNull, type Column, type ReplicatedTable } from '../domain/replicated-table.js';
import { avroName } from './name.js';

/** The Avro type that holds every value of a column, and how its COPY text is read. */
export type AvroType =
  | { readonly kind: 'boolean' | 'int' | 'long' | 'float' | 'double' | 'string' | 'uuid' | 'date' }
  /** Of `timestamptz`. `local`: of `timestamp`, without a zone. */
  | { readonly kind: 'moment'; readonly local: boolean }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number };

/** A column as the records of a shape have it. */
export interface AvroColumn {
  /** In the schema. */
  readonly name: string;
  /** In ClickHouse and in messages of other formats. */
  readonly shown: string;
  readonly type: AvroType;
  readonly isKey: boolean;
  readonly takesNull: boolean;
  /** COPY text of a column that takes no NULL where there is no row. */
  readonly absent: string;
}

/** The columns of a shape, in the order of its COPY text and of its records. */
export function avroColumns({ columns, key }: Pick<ReplicatedTable, 'columns' | 'key'>): readonly AvroColumn[] {
  return byPosition(columns).map((column) => ({
    name: avroName(shownName(column)),
    shown: shownName(column),
    type: avroTypeOf(column),
    isKey: key.includes(column.name),
    takesNull: takesNull(column),
    absent: columnType(column).absent.replaceAll("'", ''),
  }));
}

const PLAIN: Readonly<Record<string, AvroType>> = {
  Bool: { kind: 'boolean' },
  Int8: { kind: 'int' },
  Int16: { kind: 'int' },
  Int32: { kind: 'int' },
  UInt8: { kind: 'int' },
  UInt16: { kind: 'int' },
  UInt32: { kind: 'long' },
  Int64: { kind: 'long' },
  Float32: { kind: 'float' },
  Float64: { kind: 'double' },
  Date: { kind: 'date' },
  Date32: { kind: 'date' },
  UUID: { kind: 'uuid' },
};

/**
 * By the type in ClickHouse, because that decides which text COPY prints. What Avro has no exact type for is a string with the exact
 * text: integers above 64 bits and unsigned ones of 64 bits among it.
 */
export function avroTypeOf(column: Column): AvroType {
  const clickhouse = columnType(column).clickhouse({ ...column, nullable: false, policy: 'refuse' });
  const plain = PLAIN[clickhouse];
  if (plain !== undefined) return plain;
  const digits = /^Decimal\((\d+), *(\d+)\)$/u.exec(clickhouse);
  if (digits !== null) return { kind: 'decimal', precision: Number(digits[1]), scale: Number(digits[2]) };
  if (clickhouse.startsWith('DateTime')) return { kind: 'moment', local: column.type.endsWith('without time zone') };
  return { kind: 'string' };
}
