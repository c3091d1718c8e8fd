import type { Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { queryBounded } from '../../ledger/query.js';
import type { CaptureBacklog, CapturedTable } from '../capture.js';
import { readOutboxBacklog } from '../outbox/backlog.js';
import { slotOf } from './names.js';

/** Between two readers nobody reads for a moment. */
const UNREAD_S = 10;

interface SlotRow {
  readonly name: string;
  readonly retained: string | null;
  readonly safe: string | null;
  readonly unread: number | null;
  readonly failover: boolean | null;
}

/** What waits in the outboxes, and the slots that fill them: what is still in the WAL is not counted. @throws as `readOutboxBacklog` */
export async function readWalBacklog(
  pg: Queryable,
  tables: readonly CapturedTable[],
): Promise<ReadonlyMap<string, CaptureBacklog>> {
  if (tables.length === 0) return new Map();
  const backlogs = await readOutboxBacklog(pg, tables);
  const slots = new Map((await readSlots(pg, tables)).map((row) => [row.name, row]));
  return new Map(
    tables.flatMap(({ id, table, pending }) => {
      const [backlog, name] = [backlogs.get(id), slotOf(table)];
      const { retained = null, safe = null, unread = null, failover = null } = slots.get(name) ?? {};
      const slot = {
        name,
        retainedBytes: numberOf(retained),
        safeBytes: numberOf(safe),
        unreadSeconds: unread,
        failover,
      };
      if (backlog === undefined) return [];
      const known = withStreamed(backlog, pending);
      // An outbox that nobody fills says nothing: the changes are in the WAL.
      const isBlind = known.waiting === 0 && (slots.get(name) === undefined || (unread ?? 0) > UNREAD_S);
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
  const names = [...new Set(tables.map(({ table }) => slotOf(table)))];
  return queryBounded<SlotRow>(
    pg,
    /* sql */ `select slot_name::text as name, (pg_catalog.pg_current_wal_lsn() - restart_lsn)::text as retained,
      safe_wal_size::text as safe,
      -- PostgreSQL 17 and later know since when, and what a failover slot is.
      case when not active then extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8 end as unread,
      (to_jsonb(s) ->> 'failover')::boolean as failover
    from pg_catalog.pg_replication_slots s where slot_name in (${names.map((name) => `'${name}'`).join(', ')})`,
  );
}
