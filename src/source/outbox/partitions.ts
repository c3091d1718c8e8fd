import type { Queryable } from '../../connect/queryable.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import type { TableName } from '../../domain/table-name.js';
import { qualified, triggerName } from './names.js';
import { beforeTruncateSql, enableSql } from './trigger-sql.js';

/** A partition that holds rows, on which no trigger of ours runs before a TRUNCATE. */
export interface UnguardedPartition {
  /** `pg_class.oid`, decimal. */
  readonly relation: string;
  readonly name: TableName;
  /** Our role may put the trigger on it. */
  readonly allowed: boolean;
}

type Tree = Pick<ReplicatedTable, 'id' | 'name' | 'source' | 'relation'>;

/** The trigger that runs before the TRUNCATE of a partitioned table. */
export function guardTree(table: Tree, owned: boolean): readonly string[] {
  return [
    beforeTruncateSql(table.id, sourceName(table), 'truncating'),
    enableSql(table, 'truncating', { sessions: 'always', owned }),
  ];
}

/**
 * Row triggers of a partitioned table are copied to each partition by PostgreSQL, also to one that comes later. Statement triggers are not,
 * and TRUNCATE has no others.
 */
export async function findUnguarded(pg: Queryable, { id, relation }: Tree): Promise<readonly UnguardedPartition[]> {
  const found = await pg.query<UnguardedPartition>(
    /* sql */ `
    select l.oid::text as relation, jsonb_build_object('schema', n.nspname, 'table', l.relname) as name,
      has_table_privilege(l.oid, 'trigger') and has_schema_privilege(n.oid, 'usage') as allowed
    from pg_catalog.pg_partition_tree($1::oid) part
    join pg_catalog.pg_class l on l.oid = part.relid
    join pg_catalog.pg_namespace n on n.oid = l.relnamespace
    where part.isleaf and part.level > 0 and not exists (
      select from pg_catalog.pg_trigger t where t.tgrelid = l.oid and t.tgname = $2 and t.tgenabled = 'A')
    order by l.oid`,
    [relation, triggerName(id, 'truncate')],
  );
  return found.rows;
}

/** Called in a transaction. */
export async function guardPartition(pg: Queryable, id: string, name: TableName): Promise<void> {
  const owned = await ownsTable(pg, name);
  const statements = [
    beforeTruncateSql(id, name, 'truncate'),
    enableSql({ id, name }, 'truncate', { sessions: 'always', owned }),
  ];
  await pg.query(statements.join(';\n'));
}

/** @returns whether our role may do what takes the owner of the table */
export async function ownsTable(pg: Queryable, name: TableName): Promise<boolean> {
  const found = await pg.query<{ owned: boolean }>(
    /* sql */ `select pg_has_role(c.relowner, 'usage') as owned from pg_class c where c.oid = to_regclass($1)`,
    [qualified(name)],
  );
  return found.rows[0]?.owned === true;
}
