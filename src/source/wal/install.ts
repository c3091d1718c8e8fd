import type { Queryable } from '../../connect/queryable.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { withBriefLock, type DdlOptions } from '../brief-lock.js';
import { changedMeanwhile, verifyInspected } from '../catalog/verify-inspected.js';
import { BLOCKS_PUBLISHING } from '../lock-holders.js';
import { deleteDrainRow, insertDrainRow } from '../outbox/drain-row.js';
import { BEGIN_DDL, readKeyTypes } from '../outbox/install.js';
import { outboxTable, qualified } from '../outbox/names.js';
import { outboxTableSql } from '../outbox/outbox-table-sql.js';
import { inTransaction } from '../transaction.js';
import { keyNumbers, readIdentity, requireIdentity, requireWholeRows } from './identity.js';
import { fillLog } from './log/fill-log.js';
import { ensureForm, readFormColumns } from './log/forms.js';
import { logTableSql } from './log/log-table-sql.js';
import { slotOf, type OwnedTable } from './names.js';
import {
  dropPublication,
  ensurePublication,
  publish,
  readMembership,
  readPublication,
  unpublish,
} from './publication.js';
import { requireWrites } from './refused-writes.js';
import { requireStandby, type SlotPlaces } from './slot-server.js';
import { dropSlot, flawOfSlot, makeSlot, readSlot } from './slot.js';
import { requireAttached } from './verify.js';
import { deleteReader, deleteTable, hasTables, readReader, saveReader, saveTable, stopReader } from './state.js';

/**
 * Makes the outbox of a table, and puts the table behind the slot of its pipeline, which is made first where it is missing. In this order:
 * the publication, because changes that are made while it is missing are never sent; the slot; then, in one transaction, the outbox, and
 * the table's entry in the publication. Every change of a transaction that begins after the return is read into the outbox. One that
 * has written before is read in part, and is waited for by the copy. A log is filled with the rows as they are. A table that was detached
 * stays out: what is made again for it would hide what it lacks.
 * @param pg a connection of its own, not a pool
 * @returns the fingerprint
 * @throws Failure `LockTimeout`, `Unauthorized`, `Misconfigured`, `UnsuitableTable`, `Detached`; `Fenced` where the table was changed meanwhile
 */
export async function installWal(pg: Queryable, table: ReplicatedTable, options: DdlOptions = {}): Promise<string> {
  const title = formatTableName(table.name);
  const slot = slotOf(table);
  try {
    const fingerprint = await alone(pg, slot, async () => {
      await options.fence?.(pg);
      const wish = { title, relations: () => Promise.resolve([table.relation]), modes: BLOCKS_PUBLISHING };
      try {
        await withSlots(pg, options, (places) => ensureSlot(places, slot));
        return await withBriefLock(
          pg,
          wish,
          () => inTransaction(pg, BEGIN_DDL, () => join(pg, table, options)),
          options,
        );
      } catch (error) {
        // A slot that nobody reads keeps all of the WAL, and the table may wait for a person now.
        await dropUnused(pg, slot, options).catch(() => undefined);
        throw error;
      }
    });
    if (isLogged(table)) await fillLog(pg, table, options);
    return fingerprint;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `preparing to read changes of ${title} from the WAL`);
  }
}

export interface RemoveOptions extends DdlOptions {
  /** Called when no key can be written any more, in the transaction that takes the table out. False: the table stays. */
  readonly mayLeave?: (pg: Queryable) => Promise<boolean>;
}

/**
 * Takes the table out, and with the last one the slot and the publication. Idempotent.
 * @returns whether the table is out
 * @throws Failure `LockTimeout`, `Unauthorized`; what `options.fence` throws
 */
export async function removeWal(pg: Queryable, table: OwnedTable, options: RemoveOptions = {}): Promise<boolean> {
  const title = formatTableName(table.name);
  const slot = slotOf(table);
  try {
    return await alone(pg, slot, async () => {
      const wish = { title, relations: () => Promise.resolve([]), modes: BLOCKS_PUBLISHING };
      const work = (): Promise<boolean> => inTransaction(pg, BEGIN_DDL, () => leave(pg, table, options));
      const isOut = await withBriefLock(pg, wish, work, options);
      if (isOut) await dropUnused(pg, slot, options);
      return isOut;
    });
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `removing the capture of ${title} from the WAL`);
  }
}

/** Where no table is behind the slot. */
async function dropUnused(pg: Queryable, slot: string, options: DdlOptions): Promise<void> {
  if (await hasTables(pg, slot)) return;
  await withSlots(pg, options, (places) => dropEverywhere(places, slot));
  await dropPublication(pg, slot);
  await deleteReader(pg, slot);
}

async function withSlots<T>(
  pg: Queryable,
  { connectSlots }: DdlOptions,
  work: (places: SlotPlaces) => Promise<T>,
): Promise<T> {
  if (connectSlots === undefined) return work({ source: pg, slots: pg });
  await using slots = await connectSlots();
  return await work({ source: pg, slots });
}

/** Also where the WAL was read before from the server of the tables: its slot would keep all of the WAL. */
async function dropEverywhere({ source, slots }: SlotPlaces, name: string): Promise<void> {
  if (slots !== source) await dropSlot(source, name);
  await dropSlot(slots, name);
}

/** A slot whose history is not known to be whole is made again: who was behind it finds that out by `made`, and parks. */
async function ensureSlot(places: SlotPlaces, name: string): Promise<void> {
  const { source: pg, slots } = places;
  await ensurePublication(pg, name);
  await requireStandby(places);
  const slot = await readSlot(slots, name);
  // After the slot: its reader notes a position before it acknowledges it.
  const row = await readReader(pg, name);
  const publication = await readPublication(pg, name);
  const isWhole = row !== undefined && row.publication === publication;
  if (isWhole && slot !== undefined && flawOfSlot(slot) === undefined && slot.confirmed <= row.position) return;
  await dropEverywhere(places, name);
  await saveReader(pg, name, { position: await makeSlot(places, name), publication });
}

async function join(pg: Queryable, table: ReplicatedTable, { fence, ledgerElsewhere }: DdlOptions): Promise<string> {
  await fence?.(pg);
  const { id, relation } = table;
  const slot = slotOf(table);
  // Before the table is published: who reads the slot does not know it yet, and may confirm nothing from here on.
  await stopReader(pg, slot);
  await requireAttached(pg, table);
  if (ledgerElsewhere === true) await insertDrainRow(pg, id);
  const log = isLogged(table);
  await pg.query(log ? logTableSql(id) : outboxTableSql(id, await readKeyTypes(pg, table)));
  await pg.query(/* sql */ `lock table ${qualified(sourceName(table))} in access share mode`);
  await publish(pg, slot, table);
  const identity = await readIdentity(pg, relation);
  if (identity === undefined) throw changedMeanwhile(table.name);
  requireIdentity(table, identity);
  await requireWrites(pg, table, identity, { isLog: log });
  if (log) requireWholeRows(table, identity);
  const membership = await readMembership(pg, slot, relation);
  const leftOut = table.excluded?.map(({ position }) => position) ?? [];
  await saveTable(pg, slot, relation, {
    id,
    key: keyNumbers(table),
    identity: identity.columns,
    membership,
    log,
    leftOut,
  });
  if (log) await ensureForm(pg, id, await readFormColumns(pg, relation));
  return (await verifyInspected(pg, table, 'publication')).fingerprint;
}

function isLogged({ route }: Pick<ReplicatedTable, 'route'>): boolean {
  return route.capture.everyChange === true;
}

async function leave(
  pg: Queryable,
  table: OwnedTable,
  { fence, keepsOutbox = false, mayLeave }: RemoveOptions,
): Promise<boolean> {
  await fence?.(pg);
  const { id } = table;
  const slot = slotOf(table);
  await stopReader(pg, slot);
  if (mayLeave !== undefined && !(await mayLeave(pg))) return false;
  const known = await deleteTable(pg, id);
  if (known !== undefined) await unpublish(pg, slot, known.relation);
  if (keepsOutbox) return true;
  await pg.query(/* sql */ `drop table if exists ${outboxTable(id)}`);
  await deleteDrainRow(pg, id);
  return true;
}

/** One at a time: adding the first table makes what removing the last one drops. */
async function alone<T>(pg: Queryable, slot: string, work: () => Promise<T>): Promise<T> {
  const lock = `pg_catalog.hashtext('pg2click wal'), pg_catalog.hashtext($1)`;
  const found = await pg.query<{ got: boolean }>(/* sql */ `select pg_catalog.pg_try_advisory_lock(${lock}) as got`, [
    slot,
  ]);
  if (found.rows[0]?.got !== true)
    throw new Failure('LockTimeout', {
      message: `Another table of the replication slot ${slot} is added or removed at this moment.`,
      remedy: 'It is tried again by itself.',
    });
  try {
    return await work();
  } finally {
    // A connection that is gone has let go.
    await pg.query(/* sql */ `select pg_catalog.pg_advisory_unlock(${lock})`, [slot]).catch(() => undefined);
  }
}
