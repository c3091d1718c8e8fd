import type { TableName } from '../domain/table-name.js';
import { majorOf } from '../domain/version.js';
import { rowsOfLast, type Queryable } from '../connect/queryable.js';
import { query } from './query.js';

/** What waits for a stage of a table, and what it moved so far. */
export interface StageBacklog {
  /** Changes that wait: exact up to 10,000 in the outbox, an upper bound beyond and in Kafka. */
  readonly waiting: number;
  /** Everything that came to the stage has a position up to here; what is done, one up to `done`. */
  readonly newest: bigint;
  readonly done: bigint;
  /** Seconds since the batch in hand was named; null without one. Everything in it is older. */
  readonly namedFor: number | null;
  /** When a batch was last named or confirmed, Unix time in seconds. */
  readonly lastBatchAt: number;
  /** Of the rows moved so far; null before the first. */
  readonly bytesPerRow: number | null;
}

export interface TableBacklog {
  /** Of the ledger: a table that is added anew gets another. */
  readonly id: string;
  readonly pipeline: string;
  readonly name: TableName;
  readonly target: { readonly database: string; readonly table: string };
  readonly publish: StageBacklog;
  readonly load: StageBacklog;
  readonly outbox: { readonly bytes: number; readonly deadTuples: number };
}

export interface Backlog {
  readonly tables: readonly TableBacklog[];
  /** xid of the oldest transaction that runs and has written something, in any database of the server; null without one. */
  readonly oldestXid: string | null;
}

/** Counting is exact up to here: 3 ms of PostgreSQL for a table that has as many. */
const COUNTED = 10_000;
/** Displays must never be what holds a server up. */
const BOUNDED = /* sql */ `set local statement_timeout = '10s'; set local lock_timeout = '1s'; set local enable_seqscan = off`;

interface LedgerRow {
  id: string;
  pipeline: string;
  schema: string;
  table: string;
  target: { database: string; table: string };
  drawn: string;
  lowWater: string;
  published: string;
  loaded: string;
  inHand: string;
  publishNamedFor: number | null;
  loadNamedFor: number | null;
  publishedAt: number;
  loadedAt: number;
  publishBytesPerRow: number | null;
  loadBytesPerRow: number | null;
  outboxBytes: string;
  deadTuples: string;
}

interface EventsRow {
  id: string;
  events: number;
  oldest: string | null;
}

/**
 * Every prepared table of the ledger, of all pipelines, with what waits for it: two round trips, whatever their number, and
 * one look into the index of each outbox that may hold something.
 * @throws Failure `LedgerUnavailable` and its like; also where an outbox is dropped between the two: ask again
 */
export async function readBacklog(pg: Queryable): Promise<Backlog> {
  const rows = await askBounded<LedgerRow>(pg, LEDGER);
  const filled = rows.filter(({ drawn, lowWater }) => BigInt(drawn) > BigInt(lowWater));
  const [running, ...events] = await askBounded<EventsRow>(pg, eventsSql(filled));
  const eventsOf = new Map(events.map((row) => [row.id, row]));
  return {
    tables: rows.map((row) => toBacklog(row, eventsOf.get(row.id))),
    oldestXid: running?.oldest ?? null,
  };
}

/** `loaded` is a version, generation and all; its major part is the position. */
const LEDGER = /* sql */ `
  select r.id::text, r.pipeline, r.schema_name as "schema", r.table_name as "table", r.definition #> '{route,loaders,0,target}' as target,
    coalesce(pg_catalog.pg_sequence_last_value(
      pg_catalog.pg_get_serial_sequence('pg2click.outbox_' || r.id, 'seq')), 0)::text as drawn,
    p.low_water::text as "lowWater",
    coalesce(p.position ->> 'last', '0') as published,
    coalesce(l.position ->> 'highest', '0') as loaded,
    (select coalesce(sum((range ->> 'last')::bigint - (range ->> 'first')::bigint + 1), 0)::text
      from jsonb_each(l.pending -> 'ranges') as pending (partition, range)) as "inHand",
    case when p.pending is not null then extract(epoch from now() - p.updated_at)::float8 end as "publishNamedFor",
    case when l.pending is not null then extract(epoch from now() - l.updated_at)::float8 end as "loadNamedFor",
    extract(epoch from p.updated_at)::float8 as "publishedAt",
    extract(epoch from l.updated_at)::float8 as "loadedAt",
    (p.bytes / nullif(p.rows, 0))::float8 as "publishBytesPerRow",
    (l.bytes / nullif(l.rows, 0))::float8 as "loadBytesPerRow",
    pg_catalog.pg_total_relation_size(o.oid)::text as "outboxBytes",
    pg_catalog.pg_stat_get_dead_tuples(o.oid)::text as "deadTuples"
  from pg2click.replicated_table r
  join pg2click.stage p on p.table_id = r.id and p.stage = 'publish'
  join pg2click.stage l on l.table_id = r.id and l.stage = 'load:main'
  join pg_catalog.pg_class o on o.oid = pg_catalog.to_regclass('pg2click.outbox_' || r.id)
  where r.ready
  order by r.id`;

/** The first row tells of running transactions. Ids and positions are digits from our own tables. */
function eventsSql(tables: readonly Pick<LedgerRow, 'id' | 'lowWater'>[]): string {
  const running = /* sql */ `select '' as id, 0 as events,
    (select case when pg_snapshot_xmin(s) < pg_snapshot_xmax(s) then pg_snapshot_xmin(s)::text end
      from pg_current_snapshot() s) as oldest`;
  const each = tables.map(
    ({ id, lowWater }) => /* sql */ `select '${BigInt(id)}', count(*)::int, min(seq)::text
      from (select seq from pg2click.outbox_${BigInt(id)} where seq > ${BigInt(lowWater)} order by seq limit ${COUNTED}) waiting`,
  );
  return [running, ...each].join('\nunion all\n');
}

/** One message of two statements is one transaction: the limits end with it. */
async function askBounded<Row>(pg: Queryable, text: string): Promise<readonly Row[]> {
  return rowsOfLast(await query(pg, `${BOUNDED}; ${text}`, []));
}

function toBacklog(row: LedgerRow, found: EventsRow | undefined): TableBacklog {
  const drawn = BigInt(row.drawn);
  const oldest = found?.oldest === null || found === undefined ? undefined : BigInt(found.oldest);
  const events = found?.events ?? 0;
  const published = BigInt(row.published);
  const loaded = majorOf(BigInt(row.loaded));
  // A batch of late events has positions below what is loaded already: only its name tells that it waits.
  const unloaded = Math.max(Number(published - loaded), Number(row.inHand), 0);
  return {
    id: row.id,
    pipeline: row.pipeline,
    name: { schema: row.schema, table: row.table },
    target: row.target,
    publish: {
      waiting: oldest === undefined || events < COUNTED ? events : Number(drawn - oldest) + 1,
      newest: drawn,
      done: oldest === undefined ? drawn : oldest - 1n,
      namedFor: events === 0 ? null : row.publishNamedFor,
      lastBatchAt: row.publishedAt,
      bytesPerRow: row.publishBytesPerRow,
    },
    load: {
      waiting: unloaded,
      newest: published,
      done: loaded,
      namedFor: row.loadNamedFor,
      lastBatchAt: row.loadedAt,
      bytesPerRow: row.loadBytesPerRow,
    },
    outbox: { bytes: Number(row.outboxBytes), deadTuples: Number(row.deadTuples) },
  };
}
