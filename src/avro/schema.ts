import { DELETED_COLUMN, VERSION_COLUMN } from '../domain/column-type.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { avroColumns, type AvroColumn, type AvroType } from './avro-type.js';
import { avroName } from './name.js';

/** The columns whose value ClickHouse has no place for, by their names in the schema: they are null in the record. */
export const REFUSED_FIELD = '_refused';

type Json = string | number | null | readonly Json[] | { readonly [name: string]: Json };

/**
 * The schema of the records of a table in one shape, as JSON. The same shape has the same text in every process and release: the loader
 * reads by it too.
 *
 * Our fields come first, so that the version of a record is read without its schema. Every column takes null and has it as its default,
 * because a tombstone has the key alone and a TRUNCATE mark has no column: so a schema with more or fewer columns is compatible in both
 * directions.
 *
 * @throws Failure `UnsuitableTable` where two fields would have one name
 */
export function avroSchema(table: Pick<ReplicatedTable, 'name' | 'columns' | 'key'>): string {
  const columns = avroColumns(table);
  refuseOneName(table, columns);
  const fields: readonly Json[] = [
    { name: VERSION_COLUMN, type: 'string' },
    { name: DELETED_COLUMN, type: 'boolean' },
    { name: REFUSED_FIELD, type: { type: 'array', items: 'string' }, default: [] },
    ...columns.map(({ name, shown, type }) => ({
      name,
      ...(name === shown ? {} : { doc: shown }),
      type: ['null', typeJson(type)],
      default: null,
    })),
  ];
  const { schema, table: bare } = table.name;
  return JSON.stringify({ type: 'record', name: avroName(`${schema}_${bare}`), namespace: 'pg2click', fields });
}

function typeJson(type: AvroType): Json {
  switch (type.kind) {
    case 'uuid':
      return { type: 'string', logicalType: 'uuid' };
    case 'date':
      return { type: 'int', logicalType: 'date' };
    case 'moment':
      return { type: 'long', logicalType: type.local ? 'local-timestamp-micros' : 'timestamp-micros' };
    case 'decimal':
      return { type: 'bytes', logicalType: 'decimal', precision: type.precision, scale: type.scale };
    case 'boolean':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'string':
      return type.kind;
    default:
      return type satisfies never;
  }
}

function refuseOneName({ name }: Pick<ReplicatedTable, 'name'>, columns: readonly AvroColumn[]): void {
  const names = [VERSION_COLUMN, DELETED_COLUMN, REFUSED_FIELD, ...columns.map((column) => column.name)];
  const twice = columns.find((column) => names.indexOf(column.name) !== names.lastIndexOf(column.name));
  if (twice === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Two fields of the Avro schema of ${formatTableName(name)} would be named ${twice.name}.`,
    remedy: `Add the table with --rename-column '${twice.shown}=NAME', or with --format json. If it is added already, first remove it with --drop-target.`,
  });
}
