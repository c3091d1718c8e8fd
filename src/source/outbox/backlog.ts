import type { Queryable } from '../../connect/queryable.js';
import { queryBounded } from '../../ledger/query.js';
import type { CaptureBacklog, CapturedTable } from '../capture.js';
import { explainUnreadable } from '../explain-unreadable.js';
import { outboxTable } from './names.js';
import type { OutboxPosition } from './steps.js';

/** Counting is exact up to here: 3 ms of PostgreSQL for a table that has as many. */
const COUNTED = 10_000;
/** An outbox may be dropped between the two statements below. */
const ATTEMPTS = 3;
const UNDEFINED_TABLE = '42P01';

interface OutboxRow {
  id: string;
  allocated: string;
  bytes: string;
  deadTuples: string;
}

interface WaitingRow {
  id: string;
  events: number;
  oldest: string | null;
}

/**
 * What waits in outboxes: two round trips, whatever their number, and one search in the index of each outbox that may hold
 * something.
 * @throws Failure `LedgerUnavailable` and its like
 */
export async function readOutboxBacklog(
  pg: Queryable,
  tables: readonly CapturedTable[],
): Promise<ReadonlyMap<string, CaptureBacklog>> {
  if (tables.length === 0) return new Map();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readAll(pg, tables);
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined;
      if (cause?.code === UNDEFINED_TABLE && attempt < ATTEMPTS) continue;
      const outboxes = tables.map(({ id }) => ({ schema: 'pg2click', table: `outbox_${id}` }));
      throw await explainUnreadable(pg, outboxes, error);
    }
  }
}

async function readAll(pg: Queryable, tables: readonly CapturedTable[]): Promise<Map<string, CaptureBacklog>> {
  const outboxes = new Map((await queryBounded<OutboxRow>(pg, outboxesSql(tables))).map((row) => [row.id, row]));
  const filled = tables.filter(({ id, lowWater }) => BigInt(outboxes.get(id)?.allocated ?? 0) > BigInt(lowWater));
  const waiting = filled.length === 0 ? [] : await queryBounded<WaitingRow>(pg, waitingSql(filled));
  const waitingOf = new Map(waiting.map((row) => [row.id, row]));
  return new Map(tables.map((table) => [table.id, backlogOf(table, outboxes.get(table.id), waitingOf.get(table.id))]));
}

function outboxesSql(tables: readonly CapturedTable[]): string {
  const ids = tables.map(({ id }) => BigInt(id)).join();
  return /* sql */ `select id::text,
      coalesce(pg_sequence_last_value(pg_get_serial_sequence('pg2click.outbox_' || id, 'seq')), 0)::text as allocated,
      pg_total_relation_size(o.oid)::text as bytes, pg_stat_get_dead_tuples(o.oid)::text as "deadTuples"
    from unnest('{${ids}}'::bigint[]) id
    join pg_class o on o.oid = to_regclass('pg2click.outbox_' || id)`;
}

/** Ids and positions are digits from our own tables. */
function waitingSql(tables: readonly CapturedTable[]): string {
  return tables
    .map(
      ({ id, lowWater }) => /* sql */ `select '${BigInt(id)}' as id, count(*)::int as events, min(seq)::text as oldest
      from (select seq from ${outboxTable(id)} where seq > ${BigInt(lowWater)} order by seq limit ${COUNTED}) waiting`,
    )
    .join('\nunion all\n');
}

function backlogOf(
  { position }: CapturedTable,
  outbox: OutboxRow | undefined,
  found: WaitingRow | undefined,
): CaptureBacklog {
  const published = BigInt((position as OutboxPosition | undefined)?.last ?? 0);
  if (outbox === undefined)
    return { waiting: null, newest: published, done: published, published, bytes: null, deadTuples: null };
  const allocated = BigInt(outbox.allocated);
  const oldest = found?.oldest === null || found === undefined ? undefined : BigInt(found.oldest);
  const events = found?.events ?? 0;
  return {
    waiting: oldest === undefined || events < COUNTED ? events : Number(allocated - oldest) + 1,
    newest: allocated,
    done: oldest === undefined ? allocated : oldest - 1n,
    published,
    bytes: Number(outbox.bytes),
    deadTuples: Number(outbox.deadTuples),
  };
}
