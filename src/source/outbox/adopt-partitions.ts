import type { ClientBase } from 'pg';
import type { Queryable } from '../../connect/queryable.js';
import { quotePg } from '../../domain/identifier.js';
import { storedKey } from '../../domain/column-type.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { withBriefLock } from '../brief-lock.js';
import { flawOfPartition } from '../catalog/inspect.js';
import { lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { changedMeanwhile } from '../catalog/verify-inspected.js';
import { fingerprintTable, hasTriggers, type Fingerprint, type FingerprintPartition } from '../catalog/fingerprint.js';
import { BLOCKS_TRIGGERS } from '../lock-holders.js';
import { BEGIN_READING } from '../session.js';
import { settle } from '../settle.js';
import { inTransaction } from '../transaction.js';
import { keyOf } from './drain-keys.js';
import { BEGIN_DDL } from './install.js';
import { keyColumn, outboxTable } from './names.js';
import { findUnguarded, guardPartition, type UnguardedPartition } from './partitions.js';

/** A lock that is not free is asked for again with the next look; the keys do not wait for it. */
const GUARD_WAIT_MS = 2_000;
/** Of a partition, read by one statement: 16 MB, less than a second. Statements of this connection have 30 s. */
const BLOCKS_AT_ONCE = 2_000;
/** Then the attempt fails, and gives its connection back: others share a few of them. */
const WRITERS_WAIT_MS = 60_000;

export interface AdoptOptions {
  readonly signal: AbortSignal;
  /** Says what it is at. A slice that says nothing for a minute is taken for dead. */
  readonly report: (doing: string) => void;
  /** Keeps the fingerprint in which the partitions are the known ones. */
  readonly save: (fingerprint: string) => Promise<void>;
  /** The same, and lets the table be copied again. */
  readonly order: (fingerprint: string) => Promise<void>;
}

/**
 * Makes up for what no event announces of a partitioned table: partitions that came or went since it was last looked at.
 *
 * - The rows of one that came go into the outbox, by their keys. PostgreSQL has put our row triggers on it with the ATTACH itself, so
 *   what changes from then on has events of its own. The keys are written first, then everyone is waited for who wrote to the table
 *   until then, then the keys are committed. So whatever has a lower `seq` than one of them is committed before that one is read;
 *   nobody waits for us.
 * - Of one that went nobody knows the rows any more: the table is copied again, and what was in the target before is hidden. The same
 *   where one came that our role may not read by itself, that may have been emptied before our trigger was on it, or where it could not
 *   be put there: the number of its file is not its own then. VACUUM FULL does that too.
 *
 * The same holds without triggers, where the WAL brings the changes of rows: then every TRUNCATE of a partition, which is not sent, and every
 * other new file lets the table be copied again.
 *
 * What is left, such as a trigger that was off for a while, parks the table, as for any other.
 * @returns the fingerprint in which the partitions are the known ones
 */
export async function adoptPartitions(pg: ClientBase, table: ReplicatedTable, options: AdoptOptions): Promise<string> {
  const { signal, report, save, order } = options;
  try {
    const before = JSON.parse(table.fingerprint) as Fingerprint;
    if (changesOf(before, await look(pg, table)) === undefined) return table.fingerprint;
    // Before the look that counts: a TRUNCATE is seen from then on.
    for (const partition of hasTriggers(table) ? await findUnguarded(pg, table) : [])
      if (partition.allowed) await guard(pg, table, partition, signal);
    const now = await look(pg, table);
    const changes = changesOf(before, now);
    if (changes === undefined) return table.fingerprint;
    let { isCopyDue } = changes;
    for (const [relation, partition] of changes.came)
      if (!isCopyDue) isCopyDue = !(await writeKeys(pg, table, { relation, partition, signal, report }));
    // A copy reads all of it: whatever was rewritten is in it too.
    const known = Object.fromEntries([...changes.came, ...changes.guarded]);
    const partitions = isCopyDue ? now : { ...before.partitions, ...known };
    const fingerprint = JSON.stringify({ ...before, partitions } satisfies Fingerprint);
    await (isCopyDue ? order : save)(fingerprint);
    return fingerprint;
  } catch (error) {
    signal.throwIfAborted();
    throw classifyPostgres(error, `looking at the partitions of ${formatTableName(table.name)}`);
  }
}

type Partitions = Readonly<Record<string, FingerprintPartition>>;

async function look(pg: Queryable, table: ReplicatedTable): Promise<Partitions> {
  return (JSON.parse(await fingerprintTable(pg, table)) as Fingerprint).partitions ?? {};
}

interface Changes {
  /** Their rows are not in the target yet. */
  readonly came: readonly [string, FingerprintPartition][];
  /** Our trigger could be put on them at last. */
  readonly guarded: readonly [string, FingerprintPartition][];
  readonly isCopyDue: boolean;
}

/** @returns undefined for none, and for those that only a person can make up for */
function changesOf({ partitions: known = {} }: Fingerprint, now: Partitions): Changes | undefined {
  const entries = Object.entries(now);
  const isParking = entries.some(([oid, is]) => {
    const was = known[oid];
    return flawOfPartition(is) !== undefined || (was?.guarded === is.guarded && was.triggers !== is.triggers);
  });
  if (isParking) return undefined;
  const came = entries.filter(([oid]) => known[oid] === undefined);
  const hasGone = Object.keys(known).some((oid) => now[oid] === undefined);
  const isUnseen = entries.some(([oid, { kind, file }]) => {
    const was = known[oid];
    if (kind === 'p' || was?.guarded === true) return false;
    return file !== (was?.file ?? oid);
  });
  const isCopyDue = hasGone || isUnseen;
  const guarded = entries.filter(([oid, is]) => known[oid]?.guarded === false && is.guarded);
  // What a copy reads needs no keys.
  if (isCopyDue) return { came: [], guarded, isCopyDue };
  return came.length === 0 ? undefined : { came, guarded, isCopyDue };
}

/** Best effort: without the trigger, another file is taken for a TRUNCATE. */
async function guard(
  pg: ClientBase,
  { id }: ReplicatedTable,
  { relation, name }: UnguardedPartition,
  signal: AbortSignal,
): Promise<void> {
  const wish = { title: formatTableName(name), relations: () => Promise.resolve([relation]), modes: BLOCKS_TRIGGERS };
  const work = (): Promise<void> => inTransaction(pg, BEGIN_DDL, () => guardPartition(pg, id, name));
  await withBriefLock(pg, wish, work, { signal, giveUpMs: GUARD_WAIT_MS }).catch(() => signal.throwIfAborted());
}

interface NewPartition extends Pick<AdoptOptions, 'signal' | 'report'> {
  readonly relation: string;
  readonly partition: FingerprintPartition;
}

/**
 * Writes the keys of a partition that holds rows, and reads it in pieces.
 * @returns false where our role may not read it: among the rows of the whole table they cannot be found without reading all of it
 */
async function writeKeys(pg: ClientBase, table: ReplicatedTable, of: NewPartition): Promise<boolean> {
  const { relation, partition, report } = of;
  if (partition.kind === 'p') return true;
  const found = await pg.query<{ readable: boolean; blocks: number }>(
    /* sql */ `select has_schema_privilege(c.relnamespace, 'usage') and has_table_privilege(c.oid, 'select')
        and not row_security_active(c.oid) as readable,
        (pg_relation_size(c.oid) / current_setting('block_size')::bigint)::int as blocks
      from pg_catalog.pg_class c where c.oid = $1::oid`,
    [relation],
  );
  const { readable = false, blocks = 0 } = found.rows[0] ?? {};
  // What comes from now on has events of its own: nobody has to be waited for.
  if (blocks === 0) return true;
  if (!readable) return false;
  const key = keyOf(table);
  const images = key.map((column) => storedKey(column, `source.${quotePg(column.name)}`));
  const insert = /* sql */ `insert into ${outboxTable(table.id)} (${key.map((_, at) => keyColumn(at)).join(', ')}, shape)
    select ${images.join(', ')}, ${table.shape} from only ${partition.name} source`;
  const begin = `${BEGIN_READING}; set local synchronous_commit = on`;
  await inTransaction(pg, begin, async () => {
    // Two columns may have swapped names since.
    await requireRowSchema(pg, await pg.query(lockRowSchemaSql(table)), table);
    // What comes behind the end of now has events of its own.
    for (let block = 0; block < blocks; block += BLOCKS_AT_ONCE) {
      report(`reading the keys of the new partition ${partition.name}: block ${block} of ${blocks}`);
      await pg
        .query(
          /* sql */ `${insert} where source.ctid >= '(${block},0)'::tid and source.ctid < '(${block + BLOCKS_AT_ONCE},0)'::tid`,
        )
        .catch((error: unknown) => {
          // Renamed, detached or dropped since the look.
          throw (error as { code?: unknown }).code === '42P01' ? changedMeanwhile(table.name, error) : error;
        });
    }
    await settleBriefly(pg, table, of);
  });
  return true;
}

async function settleBriefly(pg: ClientBase, { name, relation }: ReplicatedTable, of: NewPartition): Promise<void> {
  const late = AbortSignal.timeout(WRITERS_WAIT_MS);
  let held = '';
  try {
    await settle(pg, relation, {
      signal: AbortSignal.any([of.signal, late]),
      onWait: (writers) => of.report(`waiting for ${writers} writers, to take in ${of.partition.name}`),
      onHeld: (who) => (held = who),
    });
  } catch (error) {
    if (!late.aborted || of.signal.aborted) throw error;
    throw new Failure('LockTimeout', {
      message: `The rows of the new partition ${of.partition.name} wait for the end of transactions that have written to ${formatTableName(name)}: ${held}.`,
      remedy: 'It is tried again by itself, and nobody waits for it.',
    });
  }
}
