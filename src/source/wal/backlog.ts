import type { Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { queryBounded } from '../../ledger/query.js';
import type { CaptureBacklog, CapturedTable } from '../capture.js';
import { readOutboxBacklog } from '../outbox/backlog.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { detachmentsSql, type Detachment } from './detach.js';
import { slotOf } from './names.js';

/** Between two readers nobody reads for a moment. */
const UNREAD_S = 10;

interface SlotRow {
  readonly name: string;
  readonly retained: string | null;
  readonly safe: string | null;
  readonly unread: number | null;
  readonly failover: boolean | null;
  readonly outboxes: string | null;
  readonly budget: string | null;
}

/** What waits in the outboxes, and the slots that fill them: what is still in the WAL is not counted. @throws as `readOutboxBacklog` */
export async function readWalBacklog(
  pg: Queryable,
  tables: readonly CapturedTable[],
): Promise<ReadonlyMap<string, CaptureBacklog>> {
  if (tables.length === 0) return new Map();
  const backlogs = await readOutboxBacklog(pg, tables);
  const slots = new Map((await readSlots(pg, tables)).map((row) => [row.name, row]));
  const detachments = await readDetachments(pg, tables);
  return new Map(
    tables.flatMap(({ id, table, pending }) => {
      const [backlog, name] = [backlogs.get(id), slotOf(table)];
      const {
        retained = null,
        safe = null,
        unread = null,
        failover = null,
        outboxes = null,
        budget = null,
      } = slots.get(name) ?? {};
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
  const names = [...new Set(tables.map(({ table }) => slotOf(table)))];
  return queryBounded<SlotRow>(
    pg,
    /* sql */ `select slot_name::text as name, (pg_catalog.pg_current_wal_lsn() - restart_lsn)::text as retained,
      safe_wal_size::text as safe,
      -- PostgreSQL 17 and later know since when, and what a failover slot is.
      case when not active then extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8 end as unread,
      (to_jsonb(s) ->> 'failover')::boolean as failover,
      (select sum(pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('pg2click.outbox_' || t.table_id)))
        from pg2click.wal_table t where t.slot = s.slot_name and t.detached is null)::text as outboxes,
      (select r.budget from pg2click.wal_reader r where r.slot = s.slot_name)::text as budget
    from pg_catalog.pg_replication_slots s where slot_name in (${names.map((name) => `'${name}'`).join(', ')})`,
  );
}

async function readDetachments(pg: Queryable, tables: readonly CapturedTable[]): Promise<Map<string, Detachment>> {
  const ids = tables.map(({ id }) => BigInt(id)).join();
  const found = await queryBounded<Detachment & { id: string }>(pg, detachmentsSql(`any ('{${ids}}'::bigint[])`));
  return new Map(found.map(({ id, position, at, why }) => [id, { position, at, why }]));
}
