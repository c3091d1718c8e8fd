import type { Queryable } from '../../connect/queryable.js';
import { type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import type { CaptureServices, OutboxSharing, SharingOptions } from '../capture.js';
import { readKeyTypes } from '../outbox/install.js';
import { keyColumn, outboxTable } from '../outbox/names.js';
import { settle } from '../settle.js';
import { installWal, removeWal } from './install.js';
import { slotOf } from './names.js';
import { readTable } from './state.js';
import { verifyWal } from './verify.js';
import { waitUntilRead } from './wait-until-read.js';

/** The reader of the WAL beside triggers. */
export const walSharing: OutboxSharing = {
  async begin(services, pg, table, options) {
    await requireFittingOutbox(pg, table);
    await installWal(pg, table, options);
    // Of a transaction that has written before, a part is published; the triggers have all of it.
    await settleWriters(services, table, options);
    // That it can be read at all is seen before anything is taken away.
    await waitUntilRead(services, table, options);
    return { triggers: {} };
  },

  catchUp: waitUntilRead,

  async verify({ source, wal }, table) {
    await verifyWal({ source, slots: wal.slots }, table);
  },

  /**
   * The mark of a TRUNCATE comes after the events of triggers that came later: its `seq` is higher than theirs, and hides their rows until
   * the WAL brings their keys again. So the table leaves when these have come, and no TRUNCATE was committed since: another file of the
   * table says that there may have been one.
   */
  async end(services, pg, table, options) {
    for (;;) {
      if ((await readTable(pg, slotOf(table), table.relation))?.id !== table.id) {
        await removeWal(pg, table, { ...options, keepsOutbox: true });
        return;
      }
      await verifyWal({ source: services.source, slots: services.wal.slots }, table);
      const file = await readFile(services.source, table.relation);
      // The marks of all before are written.
      await waitUntilRead(services, table, options);
      // What has a lower `seq` than one of them is committed.
      await settleWriters(services, table, options);
      // And its key has come again.
      await waitUntilRead(services, table, options);
      const mayLeave = async (transaction: Queryable): Promise<boolean> =>
        (await readFile(transaction, table.relation)) === file;
      if (await removeWal(pg, table, { ...options, keepsOutbox: true, mayLeave })) return;
      options.onWait('the table was emptied or rewritten meanwhile');
    }
  },
};

async function settleWriters(
  { source }: CaptureServices,
  { relation }: ReplicatedTable,
  { signal, onWait }: SharingOptions,
): Promise<void> {
  await settle(source, relation, {
    signal,
    onWait: (writers) => onWait(`${writers} writers end`),
    onHeld: (who) => onWait(`writers end: ${who}`),
  });
}

/** `relfilenode`: a TRUNCATE changes it, and so do VACUUM FULL and some ALTER TABLE. */
async function readFile(pg: Queryable, relation: string): Promise<string | undefined> {
  const found = await pg.query<{ file: string }>(
    /* sql */ `select relfilenode::text as file from pg_catalog.pg_class where oid = $1::oid`,
    [relation],
  );
  return found.rows[0]?.file;
}

/** Triggers write a key of another type as text, and the reader of the WAL does not. @throws Failure `UnsuitableTable` */
async function requireFittingOutbox(pg: Queryable, table: ReplicatedTable): Promise<void> {
  try {
    const found = await pg.query<{ type: string }>(
      /* sql */ `select pg_catalog.format_type(a.atttypid, -1) as type from unnest($2::text[]) with ordinality wanted (name, place)
        join pg_catalog.pg_attribute a on a.attrelid = pg_catalog.to_regclass($1) and a.attname = wanted.name
        order by wanted.place`,
      [outboxTable(table.id), table.key.map((_, index) => keyColumn(index))],
    );
    const wanted = await readKeyTypes(pg, table);
    if (wanted.every(({ type }, index) => found.rows[index]?.type === type)) return;
  } catch (error) {
    throw classifyPostgres(error, `looking at the outbox of ${formatTableName(table.name)}`);
  }
  throw new Failure('UnsuitableTable', {
    message: `The key of ${formatTableName(table.name)} has another type than when the table was added.`,
    remedy: copyAgainRemedy(table, { dropTarget: false }),
  });
}
