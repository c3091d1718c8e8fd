import { columnType } from '../domain/column-type.js';
import type { Column } from '../domain/replicated-table.js';

/** Types that Debezium writes as the text that PostgreSQL prints, by the name in the catalogue. */
const TEXTS: ReadonlySet<string> = new Set([
  'text',
  'character varying',
  'name',
  '"char"',
  'uuid',
  'json',
  'jsonb',
  'enum',
  'inet',
  'cidr',
  'macaddr',
  'macaddr8',
  'int4range',
  'int8range',
  'numrange',
  'daterange',
  'tsrange',
]);
/** The names of types of extensions have their schema, where that is not in the search path. */
const EXTENSIONS = /^(?:.*\.)?(?:citext|ltree)$/u;

/** Of PostgreSQL's own types. */
export function isTextType(type: string): boolean {
  return TEXTS.has(type);
}

export function isExtensionText(type: string): boolean {
  return EXTENSIONS.test(type);
}

/** Whether a value is stored as the type of the column says. What the user chose is for PostgreSQL to make of it. */
export function hasOwnPlace(column: Column): boolean {
  if (column.clickhouse === undefined && column.policy !== 'text') return true;
  const { clickhouse: _, policy: __, ...plain } = column;
  return (
    columnType(column).clickhouse({ ...plain, nullable: false }) ===
    columnType(plain).clickhouse({ ...plain, nullable: false })
  );
}
