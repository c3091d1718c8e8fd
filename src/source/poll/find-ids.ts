import type { ClientBase } from 'pg';
import { rowsOfLast, type Queryable } from '../../connect/queryable.js';
import { quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { IS_FLUSHED } from '../flush.js';
import { qualified } from '../outbox/names.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../session.js';
import type { IdRun } from './id-runs.js';
import { pollSpecOf } from './poll-table.js';
import { runsSql } from './rows-sql.js';
import { readLast } from './sequence.js';

export interface Wanted {
  /** Ids above it. */
  readonly after: bigint;
  /** Up to here, where no id can appear any more but by a transaction that touched the table after it had drawn one. */
  readonly upTo: bigint;
  /** Ids below the cursor that are asked for again. */
  readonly gaps: readonly IdRun[];
  /** Rows at most. */
  readonly rows: number;
}

/** In ascending order. */
export interface FoundIds {
  readonly gaps: readonly IdRun[];
  readonly ids: readonly IdRun[];
  /** Between `after` and here, all that was there is in `ids`. */
  readonly upTo: bigint;
  /** All of it is on the disk of PostgreSQL. */
  readonly isFlushed: boolean;
}

/** 1,000 ranges are some 25 KB of the ledger, and as many searches in the index when they are read. */
const MOST_RUNS = 1_000;

/**
 * Which ids are there: of the gaps first, then of those after the cursor.
 *
 * Most tables have no gaps: the first statement counts, and only where ids are missing a second one finds out which (measured on
 * 100,000 ids of a busy machine: 45 to 150 ms, and 170 to 600 ms more).
 * @param pg a connection of its own; in the middle of a transaction when this throws
 */
export async function findIds(pg: ClientBase, table: ReplicatedTable, wanted: Wanted): Promise<FoundIds> {
  await requireRowSchema(pg, await pg.query(`${BEGIN_READING};${LOOK_UP_BY_INDEX};${lockRowSchemaSql(table)}`), table);
  const gaps = wanted.gaps.length === 0 ? [] : await findRuns(pg, inGaps(table, wanted));
  const isCut = gaps.length >= MOST_RUNS;
  const { ids, upTo } = isCut ? { ids: [], upTo: wanted.after } : await findNew(pg, table, wanted, gaps.length);
  const [row] = rowsOfLast<{ flushed: boolean }>(await pg.query(`commit; ${IS_FLUSHED}`));
  return { gaps, ids, upTo, isFlushed: row?.flushed === true };
}

async function findNew(
  pg: Queryable,
  table: ReplicatedTable,
  wanted: Wanted,
  taken: number,
): Promise<Pick<FoundIds, 'ids' | 'upTo'>> {
  const { after, upTo, rows } = wanted;
  if (upTo <= after) return { ids: [], upTo: after };
  const counted = await pg.query<CountedIds>(countSql(above(table, wanted)));
  const dense = denseIds(counted.rows, { upTo, rows });
  if (dense !== undefined) return dense;
  // A row of the range may have come meanwhile: what the second one says is all that counts.
  const runs = await findRuns(pg, above(table, wanted), MOST_RUNS - taken);
  const last = runs.at(-1)?.last ?? upTo;
  const found = runs.reduce((sum, each) => sum + Number(each.last - each.first) + 1, 0);
  return { ids: runs, upTo: runs.length < MOST_RUNS - taken && found < rows ? upTo : last };
}

export interface CountedIds {
  readonly rows: number;
  readonly first: string | null;
  readonly last: string | null;
}

/** What `denseIds` reads. */
export function countSql(ids: string): string {
  return /* sql */ `select count(*)::int as rows, min(id)::text as first, max(id)::text as last from (${ids}) part`;
}

/** @returns undefined where ids are missing between the first and the last */
export function denseIds(
  [part]: readonly CountedIds[],
  { upTo, rows }: Pick<Wanted, 'upTo' | 'rows'>,
): Pick<FoundIds, 'ids' | 'upTo'> | undefined {
  if (part?.first === undefined || part.first === null || part.last === null) return { ids: [], upTo };
  const run = { first: BigInt(part.first), last: BigInt(part.last) };
  if (run.last - run.first + 1n !== BigInt(part.rows)) return undefined;
  return { ids: [run], upTo: part.rows < rows ? upTo : run.last };
}

/** @param upTo a number, or an expression */
export function above(
  table: ReplicatedTable,
  { after, upTo, rows }: { readonly after: bigint; readonly upTo: bigint | string; readonly rows: number },
): string {
  const id = quotePg(pollSpecOf(table).cursor);
  // Distinct: a column that is not unique may have a number twice, and a limit must not cut between them.
  return /* sql */ `select distinct row.${id}::bigint as id from only ${qualified(sourceName(table))} row
    where row.${id} > ${after} and row.${id} <= ${upTo} order by 1 limit ${rows}`;
}

function inGaps(table: ReplicatedTable, { gaps, rows }: Wanted): string {
  const id = quotePg(pollSpecOf(table).cursor);
  return /* sql */ `select found.id from ${runsSql(gaps)}
    cross join lateral (
      select distinct row.${id}::bigint as id from only ${qualified(sourceName(table))} row
      where row.${id} between run.first and run.last order by 1 limit ${rows}
    ) found order by found.id limit ${rows}`;
}

async function findRuns(pg: Queryable, ids: string, limit = MOST_RUNS): Promise<IdRun[]> {
  const found = await pg.query<{
    first: string;
    last: string;
  }>(/* sql */ `select min(part.id)::text as first, max(part.id)::text as last
      from (select id, id - row_number() over (order by id) as run from (${ids}) known) part
      group by part.run order by min(part.id) limit ${limit}`);
  return found.rows.map(({ first, last }) => ({ first: BigInt(first), last: BigInt(last) }));
}

/**
 * An id above all that the sequence gave out was not drawn from it. Its row waits until the sequence gets there, and then two rows
 * have one number.
 * @throws Failure `UnsuitableTable`
 */
export async function requireNoneAbove(pg: Queryable, table: ReplicatedTable): Promise<void> {
  const { cursor, sequence } = pollSpecOf(table);
  const found = await pg.query<{ highest: string | null }>(
    /* sql */ `select max(${quotePg(cursor)})::text as highest from only ${qualified(sourceName(table))}`,
  );
  const highest = BigInt(found.rows[0]?.highest ?? 0);
  // In a statement of its own, and after the other one: an id is drawn before its row is there.
  const { last } = await readLast(pg, sequence);
  if (highest <= last) return;
  throw new Failure('UnsuitableTable', {
    message: `Row ${highest} of ${formatTableName(table.name)} is above the last value ${last} of ${sequence.name}: its id was not drawn from it.`,
    remedy: `Set it: select setval('${sequence.name.replaceAll("'", "''")}', ${highest}), then resume. Or remove the table and add it with --capture outbox.`,
  });
}
