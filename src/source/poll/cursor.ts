import type { Queryable } from '../../connect/queryable.js';
import { quotePg } from '../../domain/identifier.js';
import type { Column } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { qualified } from '../outbox/names.js';

const INTEGERS: readonly string[] = ['smallint', 'integer', 'bigint'];

/** What a table has to be, for its rows to be read in the order of a number. */
export interface CursorTable {
  readonly name: TableName;
  /** `pg_class.oid`, decimal. */
  readonly relation: string;
  readonly columns: readonly Column[];
  readonly key: readonly string[];
}

/**
 * The column whose numbers are followed: the one named, or the key where that is a single whole number.
 * @throws Failure `UnsuitableTable`
 */
export async function chooseCursor(pg: Queryable, table: CursorTable, chosen: string | undefined): Promise<string> {
  const title = formatTableName(table.name);
  const refuse = (message: string, remedy: string): never => {
    throw new Failure('UnsuitableTable', { message, remedy });
  };
  const other = 'Name a column of whole numbers from a sequence with --cursor, or use --capture outbox.';
  const [single] = table.key.length === 1 ? table.key : [];
  const name =
    chosen ??
    single ??
    refuse(`The key of ${title} has several columns, and none of them is the one to poll by.`, other);
  const column =
    table.columns.find((each) => each.name === name) ?? refuse(`${title} has no column ${name} to poll by.`, other);
  if (!INTEGERS.includes(column.type)) return refuse(`Column ${name} of ${title} is of type ${column.type}.`, other);
  if (column.nullable)
    return refuse(
      `Column ${name} of ${title} may be NULL, and rows without a number would never be read.`,
      `alter table ${qualified(table.name)} alter column ${quotePg(name)} set not null; or use --capture outbox.`,
    );
  if (!(await leadsIndex(pg, table.relation, name)))
    return refuse(
      `No index of ${title} begins with column ${name}: each look would read the whole table.`,
      `create index concurrently on ${qualified(table.name)} (${quotePg(name)})`,
    );
  return name;
}

/** Whether some btree of all rows answers `column > n` in order. */
async function leadsIndex(pg: Queryable, relation: string, column: string): Promise<boolean> {
  const found = await pg.query<{ leads: boolean }>(
    /* sql */ `select exists (
      select from pg_catalog.pg_index i
      join pg_catalog.pg_class c on c.oid = i.indexrelid
      join pg_catalog.pg_am m on m.oid = c.relam
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      join pg_catalog.pg_opclass o on o.oid = i.indclass[0]
      where i.indrelid = $1::oid and a.attname = $2 and m.amname = 'btree' and o.opcdefault
        and i.indpred is null and i.indisvalid and i.indisready and i.indislive) as leads`,
    [relation, column],
  );
  return found.rows[0]?.leads === true;
}

/** Positions of versions have 56 bits. */
const AFTER_LAST_ID = 1n << 56n;

/** @throws Failure `UnsuitableTable` for a table with ids that no version can hold */
export async function requireIdsThatFit(pg: Queryable, name: TableName, cursor: string): Promise<void> {
  const column = quotePg(cursor);
  const found = await pg.query<{ lowest: string | null; highest: string | null }>(
    /* sql */ `select min(${column})::text as lowest, max(${column})::text as highest from only ${qualified(name)}`,
  );
  const { lowest, highest } = found.rows[0] ?? {};
  if (BigInt(lowest ?? 0) < 0n || BigInt(highest ?? 0) >= AFTER_LAST_ID)
    throw new Failure('UnsuitableTable', {
      message: `Ids of ${formatTableName(name)} do not fit the 56 bits of a version: they go from ${lowest} to ${highest}.`,
      remedy: 'Use --capture outbox.',
    });
}
