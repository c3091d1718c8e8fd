import type { Queryable } from '../../connect/queryable.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { CursorTable } from './cursor.js';

/** The sequence that numbers the rows of a table. */
export interface CursorSequence {
  /** `pg_class.oid`, decimal. */
  readonly oid: string;
  /** Quoted. */
  readonly name: string;
}

interface SequenceRow extends CursorSequence {
  readonly readable: boolean;
  readonly role: string;
  readonly cache: string;
  readonly increment: string;
  readonly cycle: boolean;
}

/** Of a default the sequence that it draws from; else the one that belongs to the column, from which clients may draw. */
const FIND = /* sql */ `
  select coalesce(
    (select d.refobjid from pg_catalog.pg_attrdef ad
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = ad.oid
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S'
      where ad.adrelid = a.attrelid and ad.adnum = a.attnum limit 1),
    (select d.objid from pg_catalog.pg_depend d
      join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and d.refobjid = a.attrelid and d.refobjsubid = a.attnum and d.deptype in ('a', 'i') limit 1))::text as oid
  from pg_catalog.pg_attribute a where a.attrelid = $1::oid and a.attname = $2 and not a.attisdropped`;

const READ = /* sql */ `
  select c.oid::text as oid, format('%I.%I', n.nspname, c.relname) as name, current_user::text as role,
    pg_catalog.has_sequence_privilege(c.oid, 'select, usage') as readable,
    s.seqcache::text as cache, s.seqincrement::text as increment, s.seqcycle as cycle
  from pg_catalog.pg_sequence s
  join pg_catalog.pg_class c on c.oid = s.seqrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = $1::oid`;

/**
 * Finds the sequence of the cursor column, and refuses one whose numbers do not come in order.
 * @throws Failure `UnsuitableTable`, `Unauthorized`
 */
export async function findSequence(pg: Queryable, table: CursorTable, cursor: string): Promise<CursorSequence> {
  const found = await pg.query<{ oid: string | null }>(FIND, [table.relation, cursor]);
  const oid = found.rows[0]?.oid ?? null;
  if (oid === null)
    throw new Failure('UnsuitableTable', {
      message: `The numbers of ${formatTableName(table.name)}.${cursor} come from no sequence that PostgreSQL knows of, so nothing tells how far they go.`,
      remedy: 'Make it an identity or serial column, or use --capture outbox.',
    });
  return requireOrderly(pg, oid);
}

/**
 * That a look at the sequence says how far the ids go. Asked when the table is added, and now and then: ALTER SEQUENCE leaves no
 * trace in the table.
 * @throws Failure `UnsuitableTable`, `Unauthorized`, `SourceSetBack` where it was dropped
 */
export async function requireOrderly(pg: Queryable, oid: string): Promise<CursorSequence> {
  const found = await pg.query<SequenceRow>(READ, [oid]);
  const [row] = found.rows;
  if (row === undefined)
    throw new Failure('SourceChanged', { message: 'The sequence that numbers the rows of this table was dropped.' });
  const { name, role, readable, cache, increment, cycle } = row;
  if (!readable) throw unreadable(name, role);
  const refuse = (what: string, why: string, alter: string): never => {
    throw new Failure('UnsuitableTable', {
      message: `Sequence ${name} has ${what}: ${why}.`,
      remedy: `Use --capture outbox, or alter sequence ${name} ${alter}.`,
    });
  };
  if (cache !== '1') refuse(`CACHE ${cache}`, 'ids appear out of order beyond any wait', 'cache 1');
  if (increment !== '1')
    refuse(`INCREMENT ${increment}`, 'programs that count by it use ids that it never gave out', 'increment 1');
  if (cycle) refuse('CYCLE', 'its ids come again from the beginning', 'no cycle');
  return { oid: row.oid, name };
}

export interface LastValue {
  readonly last: bigint;
  /** Unix time by the clock of PostgreSQL. */
  readonly nowMs: number;
}

/**
 * The last number that was given out, to anyone, committed or not; 0 before the first.
 *
 * PostgreSQL returns NULL both for a sequence that was never called and for one that this role may not see. Read as 0, the second
 * would be a poll that never reads anything and never says so.
 * @throws Failure `Unauthorized`, `SourceChanged`; `SourceUnavailable` and its like
 */
export async function readLast(pg: Queryable, sequence: CursorSequence): Promise<LastValue> {
  try {
    return lastOf((await pg.query<LastRow>(lastSql(sequence))).rows, sequence);
  } catch (error) {
    throw classifyPostgres(error, `looking at the sequence ${sequence.name}`);
  }
}

export interface LastRow {
  readonly last: string;
  readonly now: number;
  readonly readable: boolean | null;
  readonly role: string;
}

/** What `lastOf` reads. @param keep takes the value and gives it back: it is read once, since a second look may see another one */
export function lastSql({ oid }: CursorSequence, keep = (last: string): string => last): string {
  return /* sql */ `select ${keep('coalesce(pg_catalog.pg_sequence_last_value(c.oid), 0)::text')} as last, current_user::text as role,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as now,
      pg_catalog.has_sequence_privilege(c.oid, 'select, usage') as readable
    from pg_catalog.pg_class c where c.oid = ${literal(oid)}::oid and c.relkind = 'S'`;
}

/** @throws Failure `Unauthorized`, `SourceChanged` */
export function lastOf([row]: readonly LastRow[], { name }: CursorSequence): LastValue {
  if (row === undefined) throw new Failure('SourceChanged', { message: `The sequence ${name} was dropped.` });
  if (row.readable !== true) throw unreadable(name, row.role);
  return { last: BigInt(row.last), nowMs: Math.floor(row.now) };
}

function unreadable(name: string, role: string): Failure {
  return new Failure('Unauthorized', {
    message: `The role "${role}" may not read sequence ${name}, which tells how far the ids go.`,
    remedy: `grant select on sequence ${name} to ${quotePg(role)}`,
  });
}

/** @throws Failure `SourceSetBack`: new ids would fall below what was read, and never be looked for */
export function requireAhead(last: bigint, read: bigint, { name }: CursorSequence): void {
  if (last >= read) return;
  throw new Failure('SourceSetBack', {
    message: `The sequence ${name} stands at ${last}, but ids up to ${read} were read.`,
    remedy: `Set it forward: select setval(${literal(name)}, ${read}). Then resume. If PostgreSQL was restored, remove the table and add it again.`,
  });
}
