import type { Queryable } from '../../connect/queryable.js';
import { quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { columnName, formatTableName, shellWord } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { qualified } from '../outbox/names.js';

/** What PostgreSQL writes into the WAL of the old row of an UPDATE or DELETE. */
export interface ReplicaIdentity {
  /** `relreplident`: `d` the primary key, `i` an index, `f` all columns, `n` nothing. */
  readonly kind: string;
  /** Attribute numbers of the index, ascending; null for all columns. Empty: there is none. */
  readonly columns: readonly number[] | null;
  /** Attribute numbers of generated columns: they are not sent, before PostgreSQL 18 not even as part of a key. */
  readonly generated: readonly number[];
  /** Indexes that `alter table .. replica identity` takes, the primary key first. */
  readonly indexes: readonly {
    readonly name: string;
    readonly isPrimary: boolean;
    readonly columns: readonly number[];
  }[];
}

/** @returns the statement after which PostgreSQL says which row of the table was changed; undefined where it does that already */
export function identityStatement(
  table: IdentifiedTable,
  { columns, indexes }: ReplicaIdentity,
  { whole }: { readonly whole: boolean },
): string | undefined {
  const numbers = keyNumbers(table);
  const isHeldBy = (held: readonly number[]): boolean => numbers.every((number) => held.includes(number));
  if (columns === null || (!whole && isHeldBy(columns))) return undefined;
  const index = whole ? undefined : indexes.find((each) => isHeldBy(each.columns));
  const identity = index === undefined ? 'full' : index.isPrimary ? 'default' : `using index ${quotePg(index.name)}`;
  return `alter table ${qualified(sourceName(table))} replica identity ${identity}`;
}

/**
 * A log has whole rows: a deletion with its values, and an UPDATE with those that it did not touch and PostgreSQL stores apart.
 * @throws Failure `UnsuitableTable` with the statement that mends it
 */
export function requireWholeRows(table: IdentifiedTable, identity: ReplicaIdentity): void {
  const title = formatTableName(table.name);
  const statement = identityStatement(table, identity, { whole: true });
  if (statement !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `A log needs the whole old row of an UPDATE or DELETE of ${title}, and PostgreSQL sends a part of it.`,
      remedy: `Run in PostgreSQL: ${statement}; ${THEN_GO_ON}. Each UPDATE and DELETE writes the old row into the WAL from then on.`,
    });
  const computed = table.columns.find(({ position }) => identity.generated.includes(position));
  if (computed === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `Column ${computed.name} of ${title} is generated: PostgreSQL leaves it out of what it sends, so a log cannot have it.`,
    remedy: `Leave it out: --exclude-column ${shellWord(columnName(computed.name))}.`,
  });
}

export type IdentifiedTable = Pick<ReplicatedTable, 'name' | 'source' | 'relation' | 'columns' | 'key'>;

/** @returns undefined where the table is gone */
export async function readIdentity(pg: Queryable, relation: string): Promise<ReplicaIdentity | undefined> {
  const found = await pg.query<ReplicaIdentity>(
    /* sql */ `select c.relreplident::text as kind,
        case when c.relreplident = 'f' then null else array(
          select i.indkey[place]::int from pg_catalog.pg_index i, generate_series(0, i.indnkeyatts - 1) place
          where i.indrelid = c.oid and i.indisvalid and i.indimmediate and i.indislive
            and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
          order by 1) end as columns,
        array(select a.attnum::int from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped order by 1) as generated,
        coalesce((
          select jsonb_agg(jsonb_build_object('name', n.relname, 'isPrimary', i.indisprimary, 'columns', key.columns)
            order by i.indisprimary desc, n.relname)
          from pg_catalog.pg_index i
          join pg_catalog.pg_class n on n.oid = i.indexrelid
          cross join lateral (
            select array_agg(i.indkey[place]::int) as columns, bool_and(coalesce(a.attnotnull, false)) as "isSuitable"
            from generate_series(0, i.indnkeyatts - 1) place
            left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[place]
          ) key
          where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indislive
            and i.indpred is null and i.indexprs is null and key."isSuitable"), '[]') as indexes
      from pg_catalog.pg_class c where c.oid = $1::oid`,
    [relation],
  );
  return found.rows[0];
}

/** Attribute numbers of the key, in key order. */
export function keyNumbers({ columns, key }: Pick<ReplicatedTable, 'columns' | 'key'>): readonly number[] {
  return key.map((name) => {
    const column = columns.find((each) => each.name === name);
    if (column === undefined) throw new TypeError(`key column ${name} is not a column of the table`);
    return column.position;
  });
}

/**
 * Once a table is published, PostgreSQL fails the user's UPDATE and DELETE where it has no replica identity. Where the identity is
 * another one than the key, nothing says which row was deleted, or that a key became another one.
 * @throws Failure `UnsuitableTable` with the statement that mends it
 */
export function requireIdentity(table: IdentifiedTable, identity: ReplicaIdentity): void {
  const { kind, columns, generated } = identity;
  const title = formatTableName(table.name);
  const statement = identityStatement(table, identity, { whole: false });
  const refuse = (message: string): never => {
    const remedy = `Run in PostgreSQL: ${statement}; ${THEN_GO_ON}. Or add it with --capture outbox.`;
    throw new Failure('UnsuitableTable', { message, remedy });
  };
  const numbers = keyNumbers(table);
  if (numbers.some((number) => generated.includes(number)))
    throw new Failure('UnsuitableTable', {
      message: `The key of ${title} has a generated column, which PostgreSQL leaves out of what it sends.`,
      remedy: 'Use --capture outbox.',
    });
  if (statement === undefined) return;
  if (columns?.length === 0)
    refuse(
      kind === 'n'
        ? `${title} has the replica identity NOTHING: once it is published, PostgreSQL refuses its UPDATE and DELETE.`
        : `${title} has no replica identity: once it is published, PostgreSQL refuses its UPDATE and DELETE.`,
    );
  refuse(
    `The replica identity of ${title} does not hold its key (${table.key.join(', ')}): PostgreSQL does not send which row was deleted.`,
  );
}

/** @returns partitions whose rows PostgreSQL would not identify by the key, as SQL */
export async function findUnidentified(
  pg: Queryable,
  { relation, key }: Pick<ReplicatedTable, 'relation' | 'key'>,
): Promise<readonly string[]> {
  const found = await pg.query<{ name: string }>(
    /* sql */ `select format('%I.%I', n.nspname, l.relname) as name
      from pg_catalog.pg_partition_tree($1::oid) part
      join pg_catalog.pg_class l on l.oid = part.relid
      join pg_catalog.pg_namespace n on n.oid = l.relnamespace
      where part.isleaf and part.level > 0 and l.relreplident <> 'f' and not exists (
        select from pg_catalog.pg_index i
        where i.indrelid = l.oid and i.indisvalid and i.indimmediate and i.indislive
          and case l.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
          and $2::text[] <@ array(
            select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = l.oid and a.attnum = any (i.indkey)))
      order by l.oid`,
    [relation, key],
  );
  return found.rows.map(({ name }) => name);
}

/** @throws Failure `UnsuitableTable` with the statement that mends it */
export async function requireIdentityOfParts(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'name' | 'relation' | 'key'>,
): Promise<void> {
  const [part] = await findUnidentified(pg, table);
  if (part === undefined) return;
  throw new Failure('UnsuitableTable', {
    message: `The replica identity of ${part}, a partition of ${formatTableName(table.name)}, does not hold the key (${table.key.join(', ')}): PostgreSQL does not send which row was deleted, or refuses to delete it.`,
    remedy: `Run in PostgreSQL: alter table ${part} replica identity full; ${THEN_GO_ON}. Or add it with --capture outbox.`,
  });
}
