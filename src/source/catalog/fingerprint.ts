import { isTree, type ReplicatedTable } from '../../domain/replicated-table.js';
import { unreadColumns } from '../../domain/row-filter.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { Queryable } from '../../connect/queryable.js';
import { APPLIED_EVENTS, triggerName } from '../outbox/names.js';
import { readUniqueIndexes } from './catalog.js';
import { guaranteesKey } from './key-index.js';

/** Everything of the source that can change what the target should hold without any event, or that keeps events from coming. */
export interface Fingerprint {
  /** The cluster and the database in it: sequences and transaction ids of another one mean something else. */
  readonly server: string;
  /** Schema and name, quoted. */
  readonly name: string;
  readonly kind: string;
  readonly persistence: string;
  /** A subscription applies changes to it. Workers of older releases park a table where this changes. */
  readonly subscribed: boolean;
  /** Its capture does not see what a subscription applies. Absent in fingerprints of older releases. */
  readonly missesApplied?: boolean;
  /** Parents and children, by oid; none where the table's own rows are seen, whatever its relatives are. */
  readonly relatives: readonly string[];
  /** Of a partitioned table, at every level, by oid. Absent: it is none. */
  readonly partitions?: Readonly<Record<string, FingerprintPartition>>;
  /** `relfilenode`: a rewrite changes it, but so do VACUUM FULL and TRUNCATE. */
  readonly file: string;
  /** Whether a suitable unique index on the key is there. */
  readonly keyed: boolean;
  /** By position. */
  readonly columns: Readonly<Record<string, FingerprintColumn>>;
  /** Labels of the enum types of columns that are replicated, by the oid of the label. */
  readonly labels: Readonly<Record<string, string>>;
  /** By name. */
  readonly triggers: Readonly<Record<string, FingerprintTrigger>>;
  /** Oid and sequence options of the outbox; null where it is gone. */
  readonly outbox: string | null;
}

export interface FingerprintPartition {
  /** Schema and name, quoted. */
  readonly name: string;
  readonly kind: string;
  readonly persistence: string;
  /** `relfilenode`. TRUNCATE, which a trigger of ours may see, changes it; so do VACUUM FULL and ALTER TYPE. */
  readonly file: string;
  /** Whether a trigger of ours runs before its TRUNCATE. */
  readonly guarded: boolean;
  /** Oid, state and xmin of our triggers on it, as one hash. */
  readonly triggers: string;
}

export interface FingerprintColumn {
  readonly name: string;
  readonly type: string;
  readonly typeName: string;
  readonly modifier: number;
  readonly collation: string;
  readonly notNull: boolean;
  /** Expression of a generated column. */
  readonly generated: string | null;
  /** `pg_attribute.xmin`: ALTER TYPE .. USING leaves nothing else behind, but SET STATISTICS changes it too. */
  readonly row: string;
  /** `atthasmissing`: rows of before have a constant that is not written in them. Absent in fingerprints of older releases. */
  readonly missing?: boolean;
  /** Oid of its default: every ALTER TYPE makes it again. Absent in fingerprints of older releases. */
  readonly default?: string | null;
}

interface FingerprintTrigger {
  /** Oids of trigger and function. */
  readonly identity: string;
  /** `tgenabled`: in which sessions it fires. */
  readonly enabled: string;
  /** xmin of both: a trigger that was switched off and on again differs in nothing else. */
  readonly row: string;
}

/**
 * The source as it is now, as JSON text. Read at the start of every slice and compared with what it was when the table was
 * added: a difference that matters means that changes may have gone by unseen.
 * @throws Failure `MissingTable` when the table was dropped
 */
export async function fingerprintTable(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'id' | 'relation' | 'key'> &
    Partial<Pick<ReplicatedTable, 'route' | 'excluded' | 'where'>>,
): Promise<string> {
  try {
    const indexes = await readUniqueIndexes(pg, table.relation);
    const found = await pg.query<{ fingerprint: string }>(FINGERPRINT, [
      table.relation,
      triggersOf(table),
      `outbox_${table.id}`,
      table.route?.capture['triggerLevel'] === 'row' || isTree(table),
      unreadColumns(table).map(({ position }) => position),
    ]);
    const [row] = found.rows;
    if (row === undefined)
      throw new Failure('MissingTable', {
        message: 'The table that was added is not in PostgreSQL any more.',
        remedy: 'Remove the table from pg2click; add it again where another table has its name.',
      });
    const read = JSON.parse(row.fingerprint) as Omit<Fingerprint, 'keyed' | 'missesApplied'>;
    const judged = { keyed: guaranteesKey(indexes, table.key), missesApplied: missesApplied(table, read) };
    return JSON.stringify({ ...read, ...judged } satisfies Fingerprint);
  } catch (error) {
    throw classifyPostgres(error, 'looking whether the source table was changed');
  }
}

/** Whether triggers of ours capture its changes. */
export function hasTriggers({ route }: Partial<Pick<ReplicatedTable, 'route'>>): boolean {
  return route === undefined || route.capture['triggerLevel'] !== undefined;
}

/**
 * Statement triggers are not fired by what a subscription applies, and a poll does not know which of its ids are to come. The triggers for
 * applied rows count where they are: a worker of an older release may have made the others alone.
 */
function missesApplied(
  { id, route }: Pick<ReplicatedTable, 'id'> & Partial<Pick<ReplicatedTable, 'route'>>,
  { triggers }: Pick<Fingerprint, 'triggers'>,
): boolean {
  const capture = route?.capture;
  if (capture?.['cursor'] !== undefined) return true;
  return (
    capture?.['triggerLevel'] === 'statement' &&
    APPLIED_EVENTS.some((event) => triggers[triggerName(id, event)] === undefined)
  );
}

/** Triggers of ours that are beside another capture for a while are none of its business. @returns a regular expression of the functions they call */
function triggersOf(table: Pick<ReplicatedTable, 'id'> & Partial<Pick<ReplicatedTable, 'route'>>): string {
  return hasTriggers(table) ? `^capture_${table.id}_[a-z]+$` : '^$';
}

/** One statement, so that all of it is of one moment; jsonb orders its keys, so that equal states are equal texts. */
const FINGERPRINT = /* sql */ `
  select (jsonb_build_object(
    'server', (select system_identifier::text from pg_catalog.pg_control_system())
      || '/' || (select oid::text from pg_catalog.pg_database where datname = current_database()),
    'name', format('%I.%I', n.nspname, c.relname),
    'kind', c.relkind::text,
    'persistence', c.relpersistence::text,
    'subscribed', exists (select from pg_catalog.pg_subscription_rel s where s.srrelid = c.oid),
    'relatives', case when $4 then '{}' else array(
      select case when i.inhrelid = c.oid then 'of ' || i.inhparent else i.inhrelid::text end
      from pg_catalog.pg_inherits i where c.oid in (i.inhparent, i.inhrelid) order by 1) end,
    'file', c.relfilenode::text,
    'columns', (
      select jsonb_object_agg(a.attnum, jsonb_build_object(
        'name', a.attname, 'type', a.atttypid::text, 'typeName', format_type(a.atttypid, a.atttypmod),
        'modifier', a.atttypmod, 'collation', a.attcollation::text,
        'notNull', a.attnotnull and not exists (
          select from pg_catalog.pg_constraint k
          where k.conrelid = c.oid and k.contype = 'n' and a.attnum = any (k.conkey) and not k.convalidated),
        'generated', case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end,
        'row', a.xmin::text, 'missing', a.atthasmissing, 'default', d.oid::text))
      from pg_catalog.pg_attribute a
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    'labels', (
      with recursive used (oid) as (
        select a.atttypid from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attnum <> all ($5::int[])
        union
        select t.typbasetype from used join pg_catalog.pg_type t on t.oid = used.oid and t.typtype = 'd'
      )
      select coalesce(jsonb_object_agg(e.oid, e.enumlabel), '{}')
      from pg_catalog.pg_enum e where e.enumtypid in (select used.oid from used)),
    'triggers', (
      select coalesce(jsonb_object_agg(t.tgname, jsonb_build_object(
        'identity', t.oid || '/' || f.oid, 'enabled', t.tgenabled::text, 'row', t.xmin || '/' || f.xmin)), '{}')
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid and f.pronamespace = to_regnamespace('pg2click') and f.proname ~ $2
      where t.tgrelid = c.oid),
    'outbox', (
      select o.oid || '/' || s.seqrelid || '/' || s.seqincrement || '/' || s.seqcache || '/' || s.seqcycle
      from pg_catalog.pg_class o
      join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = o.oid
        and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'i'
      join pg_catalog.pg_sequence s on s.seqrelid = d.objid
      -- By the catalogue: a role that only reads may not use the schema.
      where o.relnamespace = to_regnamespace('pg2click') and o.relname = $3)
  ) || case when c.relkind = 'p' then jsonb_build_object('partitions', (
      select coalesce(jsonb_object_agg(l.oid, jsonb_build_object(
        'name', format('%I.%I', s.nspname, l.relname), 'kind', l.relkind::text, 'persistence', l.relpersistence::text,
        'file', l.relfilenode::text, 'guarded', ours.guarded, 'triggers', ours.triggers)), '{}')
      from pg_catalog.pg_partition_tree(c.oid) part
      join pg_catalog.pg_class l on l.oid = part.relid
      join pg_catalog.pg_namespace s on s.oid = l.relnamespace
      cross join lateral (
        select coalesce(bool_or(t.tgtype & 32 <> 0 and t.tgenabled = 'A'), false) as guarded,
          md5(coalesce(string_agg(concat_ws('/', t.oid, t.tgenabled, t.xmin), ' ' order by t.oid), '')) as triggers
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_proc f on f.oid = t.tgfoid and f.pronamespace = to_regnamespace('pg2click') and f.proname ~ $2
        where t.tgrelid = l.oid) ours
      where part.level > 0)) else '{}' end)::text as fingerprint
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = $1::oid`;
