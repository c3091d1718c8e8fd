import type { Queryable } from '../../connect/queryable.js';
import { isTree, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { readDetachment } from './detach.js';
import { findUnidentified, identityStatement, readIdentity } from './identity.js';
import { formatLsn } from './lsn.js';
import { slotOf } from './names.js';
import { readMembership, readPublication, unpublish } from './publication.js';
import { flawOfSlot, readSlot, type SlotState } from './slot.js';
import { allowWrites, findRefusedWrites } from './refused-writes.js';
import { requireStandby, type SlotPlaces } from './slot-server.js';
import { readReader, readTable, type ReaderRow, type WalTable } from './state.js';

/** A slot that has every change since it was made, and what we know of it. */
export interface WholeSlot {
  readonly slot: SlotState;
  readonly row: ReaderRow;
}

/**
 * Why changes may be missing in what a slot sends, as a sentence; else its state. The position that we noted is that of the outboxes, of
 * the same transaction: a slot that stands above it was read by somebody else, or the database is another one than it was.
 */
export async function readWholeSlot({ source: pg, slots }: SlotPlaces, name: string): Promise<WholeSlot | string> {
  await requireStandby({ source: pg, slots });
  const slot = await readSlot(slots, name);
  const flaw = flawOfSlot(slot);
  if (slot === undefined || flaw !== undefined) return `The replication slot ${name} ${flaw}`;
  // After the slot: its reader notes a position before it acknowledges it.
  const row = await readReader(pg, name);
  if (row === undefined) return `The replication slot ${name} is not one of this database any more`;
  if (slot.confirmed > row.position)
    return `The replication slot ${name} was read up to ${formatLsn(slot.confirmed)}, and its outboxes have the changes up to ${formatLsn(row.position)}`;
  if ((await readPublication(pg, name)) !== row.publication)
    return `The publication ${name} was dropped or altered, and what was changed meanwhile is not sent`;
  return { slot, row };
}

/**
 * Looks whether every change of the table comes through the slot, from when it was added until now.
 * @throws Failure `SourceChanged` with the commands that lead out
 */
export async function verifyWal({ source: pg, slots }: SlotPlaces, table: ReplicatedTable): Promise<WholeSlot> {
  const title = formatTableName(table.name);
  try {
    await requireAttached(pg, table);
    const whole = await readWholeSlot({ source: pg, slots }, slotOf(table));
    if (typeof whole === 'string') throw lost(table, whole);
    const known = await readTable(pg, slotOf(table), table.relation);
    if (known?.id !== table.id) throw lost(table, `${title} is not captured from the WAL any more`);
    if (known.made !== whole.row.made) throw lost(table, `The replication slot ${slotOf(table)} was made again`);
    await requireMember(pg, table, known);
    return whole;
  } catch (error) {
    throw classifyPostgres(error, `looking at the replication slot of ${title}`);
  }
}

/** @throws Failure `Detached` with the commands that lead out */
export async function requireAttached(pg: Queryable, table: ReplicatedTable): Promise<void> {
  const title = formatTableName(table.name);
  const found = await readDetachment(pg, table.id).catch((error: unknown) => {
    throw classifyPostgres(error, `looking whether ${title} is read from the WAL`);
  });
  if (found === undefined) return;
  const { at, position, why } = found;
  throw new Failure('Detached', {
    message: `${title} was detached from its replication slot at ${at}: ${why}. What was changed behind ${position} is missing.`,
    remedy: copyAgainRemedy(table, { dropTarget: false }),
  });
}

async function requireMember(pg: Queryable, table: ReplicatedTable, known: WalTable): Promise<void> {
  const title = formatTableName(table.name);
  const slot = slotOf(table);
  const { relation } = table;
  const identity = await readIdentity(pg, relation);
  const isLog = table.route.capture.everyChange === true;
  const refused = await findRefusedWrites(pg, relation);
  if (identity !== undefined && refused !== undefined) {
    await unpublish(pg, slot, relation);
    const why = `${refused} has a generated column and the replica identity FULL, so that PostgreSQL refused its UPDATE and DELETE`;
    // A generated column that was added just now may not be in the target yet: then `add` would refuse it.
    throw lost(table, why, `${allowWrites(table, identity, refused, isLog)}.`, true);
  }
  if (identity !== undefined && !isSame(identity.columns, known.identity)) {
    // Its UPDATE and DELETE fail while it is published and has none: the writes of the user come first.
    if (identity.columns?.length === 0) await unpublish(pg, slot, relation);
    // Without it `add` would refuse the table that was removed.
    const statement = identityStatement(table, identity, { whole: isLog });
    const first = statement === undefined ? undefined : `Run in PostgreSQL: ${statement}.`;
    throw lost(table, `The replica identity of ${title} was changed`, first);
  }
  const [part] = isTree(table) ? await findUnidentified(pg, table) : [];
  if (part !== undefined) {
    await unpublish(pg, slot, relation);
    const first = `Run in PostgreSQL: alter table ${part} replica identity full.`;
    throw lost(table, `The replica identity of the partition ${part} of ${title} does not hold the key`, first);
  }
  if ((await readMembership(pg, slot, relation)) !== known.membership)
    throw lost(table, `${title} was taken out of the publication ${slot}`);
}

function isSame(a: readonly number[] | null, b: readonly number[] | null): boolean {
  return a?.join() === b?.join();
}

/** @param first what `add` needs before, a sentence */
function lost(table: ReplicatedTable, why: string, first?: string, dropTarget = false): Failure {
  return new Failure('SourceChanged', {
    message: `${why}: changes of ${formatTableName(table.name)} may be missing.`,
    remedy: copyAgainRemedy(table, { dropTarget, first }),
  });
}
