import type { Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { queryBounded } from '../../ledger/query.js';
import type { CaptureBacklog, CapturedTable } from '../capture.js';
import { readOutboxBacklog } from '../outbox/backlog.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import type { Detachment } from '../../domain/slot-state.js';
import { detachmentsSql } from './detach.js';
import { slotOf } from './names.js';
import { WAL_END } from './slot-server.js';

/** Between two readers nobody reads for a moment. */
const UNREAD_S = 10;

interface SlotRow {
  readonly name: string;
  readonly retained: string | null;
  readonly safe: string | null;
  readonly unread: number | null;
  readonly failover: boolean | null;
}

interface ReaderSums {
  readonly name: string;
  readonly outboxes: string | null;
  readonly budget: string | null;
}

/** What waits in the outboxes, and the slots that fill them: what is still in the WAL is not counted. @throws as `readOutboxBacklog` */
export async function readWalBacklog(
  pg: Queryable,
  tables: readonly CapturedTable[],
  slotServer: Queryable = pg,
): Promise<ReadonlyMap<string, CaptureBacklog>> {
  if (tables.length === 0) return new Map();
  const backlogs = await readOutboxBacklog(pg, tables);
  // That a standby is away is no reason to say nothing of the rest.
  const rows = await readSlots(slotServer, tables).catch((error: unknown) => {
    if (slotServer === pg) throw error;
    return [];
  });
  const slots = new Map(rows.map((row) => [row.name, row]));
  const readers = await readReaders(pg, tables);
  const detachments = await readDetachments(pg, tables);
  return new Map(
    tables.flatMap(({ id, table, pending }) => {
      const [backlog, name] = [backlogs.get(id), slotOf(table)];
      const { retained = null, safe = null, unread = null, failover = null } = slots.get(name) ?? {};
      const { outboxes = null, budget = null } = readers.get(name) ?? {};
      const detachment = detachments.get(id);
      const slot = {
        name,
        retainedBytes: numberOf(retained),
        safeBytes: numberOf(safe),
        unreadSeconds: unread,
        failover,
        outboxBytes: Number(outboxes ?? 0),
        budgetBytes: numberOf(budget),
        detached:
          detachment === undefined ? null : { ...detachment, remedy: copyAgainRemedy(table, { dropTarget: false }) },
      };
      if (backlog === undefined) return [];
      const known = withStreamed(backlog, pending);
      // An outbox that nobody fills says nothing: the changes are in the WAL, or nowhere.
      const isUnread = slots.get(name) === undefined || (unread ?? 0) > UNREAD_S;
      const isBlind = detachment !== undefined || (known.waiting === 0 && isUnread);
      return [[id, { ...known, ...(isBlind ? { waiting: null } : {}), slot }]];
    }),
  );
}

/** The outbox has no event of rows that are moved in memory. */
function withStreamed(backlog: CaptureBacklog, pending: unknown): CaptureBacklog {
  const name = pending as OutboxBatch | null | undefined;
  if (name?.streamed !== true) return backlog;
  const [first, last] = [BigInt(name.first), BigInt(name.last)];
  const waiting = (backlog.waiting ?? 0) + Number(last - first) + 1;
  return { ...backlog, waiting, done: backlog.done < first ? backlog.done : first - 1n };
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}

function readSlots(pg: Queryable, tables: readonly CapturedTable[]): Promise<readonly SlotRow[]> {
  return queryBounded<SlotRow>(
    pg,
    /* sql */ `select slot_name::text as name, (${WAL_END} - restart_lsn)::text as retained,
      safe_wal_size::text as safe,
      -- PostgreSQL 17 and later know since when, and what a failover slot is.
      case when not active then extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8 end as unread,
      (to_jsonb(s) ->> 'failover')::boolean as failover
    from pg_catalog.pg_replication_slots s where slot_name in (${namesSql(tables)})`,
  );
}

async function readDetachments(pg: Queryable, tables: readonly CapturedTable[]): Promise<Map<string, Detachment>> {
  const ids = tables.map(({ id }) => BigInt(id)).join();
  const found = await queryBounded<Detachment & { id: string }>(pg, detachmentsSql(`any ('{${ids}}'::bigint[])`));
  return new Map(found.map(({ id, position, at, why }) => [id, { position, at, why }]));
}

async function readReaders(pg: Queryable, tables: readonly CapturedTable[]): Promise<Map<string, ReaderSums>> {
  const found = await queryBounded<ReaderSums>(
    pg,
    /* sql */ `select r.slot as name, r.budget::text as budget,
        (select sum(pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('pg2click.outbox_' || t.table_id)))
          from pg2click.wal_table t where t.slot = r.slot and t.detached is null)::text as outboxes
      from pg2click.wal_reader r where r.slot in (${namesSql(tables)})`,
  );
  return new Map(found.map((row) => [row.name, row]));
}

/** Names that we have made ourselves. */
function namesSql(tables: readonly CapturedTable[]): string {
  return [...new Set(tables.map(({ table }) => `'${slotOf(table)}'`))].join(', ');
}
