import { literal, quotePg } from '../../domain/identifier.js';
import { sourceName } from '../../domain/replicated-table.js';
import type { Queryable } from '../../connect/queryable.js';
import { queryBounded } from '../../ledger/query.js';
import type { CaptureBacklog, CapturedTable } from '../capture.js';
import { qualified } from '../outbox/names.js';
import { explainUnreadable } from '../explain-unreadable.js';
import { pollSpecOf } from './poll-table.js';
import type { PollPosition } from './position.js';

/** Counting is exact up to here. */
const COUNTED = 10_000;

interface SequenceRow {
  readonly id: string;
  /** Null where the sequence may not be read, or is gone. */
  readonly last: string | null;
  /** Its name is still that of the table that was added. */
  readonly same: boolean;
}

/**
 * What waits in tables that are polled: two round trips, whatever their number. Rows of open transactions do not count.
 * @throws Failure `LedgerUnavailable` and its like
 */
export async function readPollBacklog(
  pg: Queryable,
  tables: readonly CapturedTable[],
): Promise<ReadonlyMap<string, CaptureBacklog>> {
  if (tables.length === 0) return new Map();
  try {
    return await readAll(pg, tables);
  } catch (error) {
    throw await explainUnreadable(
      pg,
      tables.map(({ table }) => sourceName(table)),
      error,
    );
  }
}

async function readAll(pg: Queryable, tables: readonly CapturedTable[]): Promise<Map<string, CaptureBacklog>> {
  const sequences = new Map((await queryBounded<SequenceRow>(pg, sequencesSql(tables))).map((row) => [row.id, row]));
  const moved = tables.filter((each) => sequences.get(each.id)?.same === true && isAhead(each, sequences.get(each.id)));
  const rows = moved.length === 0 ? [] : await queryBounded<{ id: string; rows: number }>(pg, waitingSql(moved));
  const waiting = new Map(rows.map((row) => [row.id, row.rows]));
  return new Map(tables.map((each) => [each.id, backlogOf(each, sequences.get(each.id), waiting.get(each.id))]));
}

function isAhead(table: CapturedTable, sequence: SequenceRow | undefined): boolean {
  return BigInt(sequence?.last ?? 0) > cursorOf(table);
}

function cursorOf({ position }: CapturedTable): bigint {
  return BigInt((position as PollPosition | undefined)?.cursor ?? -1);
}

/** Oids and ids are digits from our own tables. */
function sequencesSql(tables: readonly CapturedTable[]): string {
  const polled = tables.map(({ id, table }) => {
    const { sequence } = pollSpecOf(table);
    const { schema, table: name } = sourceName(table);
    return `(${BigInt(id)}, ${BigInt(sequence.oid)}::oid, ${BigInt(table.relation)}::oid, ${literal(schema)}, ${literal(name)})`;
  });
  return /* sql */ `select polled.id::text as id, c.oid is not null as same,
      case when pg_catalog.has_sequence_privilege(polled.sequence, 'select, usage')
        then coalesce(pg_catalog.pg_sequence_last_value(s.oid), 0)::text end as last
    from (values ${polled.join(', ')}) polled (id, sequence, relation, schema, name)
    left join pg_catalog.pg_class s on s.oid = polled.sequence and s.relkind = 'S'
    left join pg_catalog.pg_namespace n on n.nspname = polled.schema
    left join pg_catalog.pg_class c on c.oid = polled.relation and c.relnamespace = n.oid and c.relname = polled.name`;
}

function waitingSql(tables: readonly CapturedTable[]): string {
  return tables
    .map((each) => {
      const { cursor } = pollSpecOf(each.table);
      return /* sql */ `select '${BigInt(each.id)}' as id, count(*)::int as rows from (
        select from only ${qualified(sourceName(each.table))} where ${quotePg(cursor)} > ${cursorOf(each)} limit ${COUNTED}) waiting`;
    })
    .join('\nunion all\n');
}

function backlogOf(each: CapturedTable, sequence: SequenceRow | undefined, rows = 0): CaptureBacklog {
  const { highest = '0', gaps = [], givenUp } = (each.position ?? {}) as PollPosition;
  const cursor = cursorOf(each);
  const last = sequence?.last === null || sequence === undefined ? undefined : BigInt(sequence.last);
  const newest = last === undefined || last < cursor ? cursor : last;
  const waiting = rows < COUNTED ? rows : Math.max(rows, Number(newest - cursor));
  return {
    waiting: last === undefined ? null : waiting,
    newest,
    done: rows === 0 ? newest : cursor,
    published: BigInt(highest),
    bytes: null,
    deadTuples: null,
    gaps: { ranges: gaps.length, givenUp: Number(givenUp?.old ?? 0) + Number(givenUp?.many ?? 0) },
  };
}
