import type { Queryable } from '../../connect/queryable.js';
import { parseLsn, type Lsn } from './lsn.js';

/** What is known of a slot beside PostgreSQL: the row of `pg2click.wal_reader`. */
export interface ReaderRow {
  /** Raised by who begins to read, and by who adds or removes a table: who read before stops. Decimal. */
  readonly epoch: string;
  /** The slot of this name, as it was made by us: another one has other history. */
  readonly made: string;
  /** All that was committed up to here is in the outboxes. */
  readonly position: Lsn;
  /** See `readPublication`. */
  readonly publication: string;
  /** The topic of logical messages; null where they go nowhere. */
  readonly messages: string | null;
}

/** A table behind a slot: a row of `pg2click.wal_table`. */
export interface WalTable {
  readonly id: string;
  /** Attribute numbers of the key, in key order. */
  readonly key: readonly number[];
  /** See `ReplicaIdentity.columns`. */
  readonly identity: readonly number[] | null;
  /** That of the slot when the table was added. */
  readonly made: string;
  /** See `readMembership`. */
  readonly membership: string;
  /** Every change of it is kept, and not its keys. */
  readonly log: boolean;
  /** Attribute numbers of columns whose values are not kept. */
  readonly leftOut: readonly number[];
  /** Its changes are not read any more: see `detach`. */
  readonly isDetached: boolean;
}

export async function readReader(pg: Queryable, slot: string): Promise<ReaderRow | undefined> {
  const found = await pg.query<Omit<ReaderRow, 'position'> & { position: string }>(
    /* sql */ `select epoch::text, made::text, position::text, publication, messages_topic as messages from pg2click.wal_reader where slot = $1`,
    [slot],
  );
  const [row] = found.rows;
  return row === undefined ? undefined : { ...row, position: parseLsn(row.position) };
}

/**
 * Begins an epoch: who read before stops.
 * @param budgetBytes that this reader has
 * @returns the epoch, and a transaction id of the present; undefined where there is no such slot
 */
export async function claimReader(
  pg: Queryable,
  slot: string,
  budgetBytes: number | undefined,
): Promise<{ readonly epoch: string; readonly xid: bigint } | undefined> {
  const found = await pg.query<{ epoch: string; xid: string }>(
    /* sql */ `update pg2click.wal_reader set epoch = epoch + 1, budget = $2 where slot = $1
      returning epoch::text, pg_catalog.pg_current_xact_id()::text as xid`,
    [slot, budgetBytes ?? null],
  );
  const [row] = found.rows;
  return row === undefined ? undefined : { epoch: row.epoch, xid: BigInt(row.xid) };
}

/** Also for who reads the slot later, and was not told. */
export async function noteMessages(pg: Queryable, slot: string, topic: string | null): Promise<void> {
  await pg.query(/* sql */ `update pg2click.wal_reader set messages_topic = $2 where slot = $1`, [slot, topic]);
}

/** @param relation oid @returns undefined where it is not, or not any more, behind the slot */
export async function readTable(pg: Queryable, slot: string, relation: string): Promise<WalTable | undefined> {
  const found = await pg.query<WalTable>(
    /* sql */ `select table_id::text as id, key::int[] as key, identity::int[] as identity, made::text, membership, log, left_out::int[] as "leftOut",
        detached is not null as "isDetached"
      from pg2click.wal_table where slot = $1 and relation = $2::oid`,
    [slot, relation],
  );
  return found.rows[0];
}

/** Notes a slot that was made just now: what is behind the one before has lost its history. */
export async function saveReader(
  pg: Queryable,
  slot: string,
  { position, publication }: { readonly position: string; readonly publication: string },
): Promise<void> {
  await pg.query(
    /* sql */ `insert into pg2click.wal_reader (slot, position, publication) values ($1, $2::pg_lsn, $3)
      on conflict (slot) do update set epoch = wal_reader.epoch + 1, made = gen_random_uuid(),
        position = excluded.position, publication = excluded.publication`,
    [slot, position, publication],
  );
}

/** In the transaction that adds the table, or takes it out: who reads the slot stops, and begins again with the tables of then. */
export async function stopReader(pg: Queryable, slot: string): Promise<void> {
  await pg.query(/* sql */ `update pg2click.wal_reader set epoch = epoch + 1 where slot = $1`, [slot]);
}

export async function saveTable(
  pg: Queryable,
  slot: string,
  relation: string,
  { id, key, identity, membership, log, leftOut }: Omit<WalTable, 'made' | 'isDetached'>,
): Promise<void> {
  await pg.query(
    /* sql */ `insert into pg2click.wal_table (table_id, slot, relation, key, identity, membership, log, left_out, made)
      select $1, slot, $3::oid, $4::int[], $5::int[], $6, $7, $8::int[], made from pg2click.wal_reader where slot = $2
      on conflict (table_id) do update set slot = excluded.slot, relation = excluded.relation, key = excluded.key,
        identity = excluded.identity, membership = excluded.membership, log = excluded.log, left_out = excluded.left_out, made = excluded.made,
          definition = null, since = null`,
    [id, slot, relation, key, identity, membership, log, leftOut],
  );
}

/**
 * Notes the columns that the table has now, where they are others than before.
 * @param definition as text, read before the call
 * @returns since when it has had them: ALTER TABLE waits for all who have written, so what commits behind it was written after it
 */
export async function noteDefinition(pg: Queryable, id: string, definition: string): Promise<Lsn | undefined> {
  await pg.query(
    /* sql */ `update pg2click.wal_table set definition = $2, since = pg_catalog.pg_current_wal_insert_lsn()
      where table_id = $1 and definition is distinct from $2`,
    [id, definition],
  );
  const found = await pg.query<{ since: string }>(
    /* sql */ `select since::text as since from pg2click.wal_table where table_id = $1 and definition = $2`,
    [id, definition],
  );
  const [row] = found.rows;
  return row === undefined ? undefined : parseLsn(row.since);
}

/** @returns the slot and the relation that it had; undefined where it was not there */
export async function deleteTable(
  pg: Queryable,
  id: string,
): Promise<{ readonly slot: string; readonly relation: string } | undefined> {
  const found = await pg.query<{ slot: string; relation: string }>(
    /* sql */ `delete from pg2click.wal_table where table_id = $1 returning slot, relation::text as relation`,
    [id],
  );
  return found.rows[0];
}

/** Whether a table is behind the slot. */
export async function hasTables(pg: Queryable, slot: string): Promise<boolean> {
  const found = await pg.query(/* sql */ `select from pg2click.wal_table where slot = $1 limit 1`, [slot]);
  return found.rowCount === 1;
}

export async function deleteReader(pg: Queryable, slot: string): Promise<void> {
  await pg.query(/* sql */ `delete from pg2click.wal_reader where slot = $1`, [slot]);
}
