import type { ClientBase, QueryConfig } from 'pg';
import type { Queryable } from '../../connect/queryable.js';
import type { ReadingPool } from '../../connect/reading-pool.js';
import { describeDeployment, type Deployment } from '../../domain/deployment.js';
import { quotePg } from '../../domain/identifier.js';
import { shownName, sourceName, type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { columnsOfShape } from '../../domain/shape.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { RowText } from '../../pipeline/row-batch.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { copyOut, type CopyOut } from '../copy/copy-out.js';
import { countedText } from '../copy/counted-text.js';
import { readDeployment } from '../deployment.js';
import { filterFailure } from '../filter-failure.js';
import { ensureFlushed } from '../flush.js';
import { keyOf } from '../outbox/drain-keys.js';
import { qualified } from '../outbox/names.js';
import { settle } from '../settle.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../session.js';
import { awaitVisible } from './await-visible.js';
import { byKeySql, KEY_TYPES, SET_KEYS } from './by-key-sql.js';

/**
 * Keys are grouped by a sort: it costs no more than hashing them, and what is looked up in the order of the index is found in pages
 * that were just read (8.2 us of CPU a row against 12.4, for 100,000 keys that came in no order).
 */
const SORT_KEYS = /* sql */ `set local enable_hashagg = off`;
/** Waits for a lock 2 s at most: what takes this long hangs on a connection that died without a word. */
const FIRST_ANSWER_MS = 15_000;

export interface ByKeyServices {
  /** Another pool than that of reading batches: a ClickHouse that does not take rows must not hold up publishing. */
  readonly readingByKey: ReadingPool;
  /** Another connection. */
  readonly source: Queryable;
  /** Who we are, as the ledger's database says. */
  deployment(): Promise<Deployment>;
  readonly settings: { readonly postgres: { readonly user: string } };
}

/** Keys as they came, each with its version. */
export interface KeyBatch {
  /** JSON objects: key columns and `_version`. At least one. */
  readonly values: readonly Buffer[];
  /** Of the values, with a separator each. */
  readonly bytes: number;
  /** That is in the minor part of their versions. */
  readonly shape: number;
  /** See `Fetched`; absent for what was visible before its message was sent. */
  readonly committed?: readonly number[] | 'unknown' | undefined;
}

/**
 * Reads the rows of keys, as they are now, as COPY text with the columns of `targetColumns`; a key without a row is a tombstone. Each has
 * the highest version of its key in the batch, with the table's shape in the minor part: the columns that were read are what the shape
 * counts, not those of the moment of publishing. So what a later shape reads again wins over what this one has read.
 *
 * Read again it may be newer under the same versions; what made it newer has an event of its own, with a higher version. That holds on
 * the primary only: a standby may be behind the event, and a row that is missing there would become a tombstone that nothing heals.
 * @returns nothing is read before it is. It fails with the signal's reason, or a Failure `SourceUnavailable`, `SourceChanged`,
 *   `MissingTable`, `LockTimeout`, `Unauthorized`, `WrongWorker`
 */
export function readByKey(
  services: ByKeyServices,
  table: ReplicatedTable,
  keys: KeyBatch,
  { signal, onWait = () => undefined }: { readonly signal: AbortSignal; readonly onWait?: () => void },
): RowText {
  let copy: CopyOut | undefined;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    signal.throwIfAborted();
    try {
      if (keys.committed === 'unknown') await settle(services.source, table.relation, { signal, onWait });
      else if (keys.committed !== undefined) await awaitVisible(services.source, keys.committed, { signal, onWait });
      await using lease = await services.readingByKey.lease({ signal, onWait });
      const { client } = lease;
      await requireSameServer(client, services);
      const beginning = `${BEGIN_READING};${LOOK_UP_BY_INDEX};${SORT_KEYS};${lockRowSchemaSql(table)}`;
      const found: unknown = await client.query({ text: beginning, query_timeout: FIRST_ANSWER_MS } as QueryConfig);
      await requireRowSchema(client, found, table);
      const types = await keyTypes(client, table);
      await client.query(SET_KEYS, [arrayOf(keys)]);
      const sql = byKeySql(table, { types, names: keyNames(table, keys.shape), shape: keys.shape });
      copy = copyOut(client, sql, { signal });
      let isDurable = false;
      for await (const chunk of copy as AsyncIterable<Buffer>) {
        // The snapshot is taken now: what it shows must be on disk before a byte of it leaves.
        if (!isDurable) await ensureFlushed(services.source);
        isDurable = true;
        yield chunk;
      }
      await client.query('commit');
      lease.keep();
    } catch (error) {
      signal.throwIfAborted();
      throw filterFailure(table, error) ?? explain(error, table, services.settings.postgres.user);
    }
  }
  return countedText(read(), () => copy?.rows ?? 0);
}

/** What messages of a shape call the key columns: they may have been renamed since. */
function keyNames(table: ReplicatedTable, shape: number): readonly string[] {
  const before = columnsOfShape(table, shape) ?? table.columns;
  return keyOf(table).map((column) => shownName(before.find(({ position }) => position === column.position) ?? column));
}

/** Of a table's columns, the types of the key. */
const TYPES = new WeakMap<readonly Column[], readonly string[]>();

async function keyTypes(pg: Queryable, { relation, columns, key }: ReplicatedTable): Promise<readonly string[]> {
  const known = TYPES.get(columns);
  if (known !== undefined) return known;
  const found = await pg.query<{ type: string }>(KEY_TYPES, [relation, key]);
  const types = found.rows.map(({ type }) => type);
  TYPES.set(columns, types);
  return types;
}

/** Connections that were found to lead to the database of this deployment: one does not change its server. */
const OWN = new WeakSet<ClientBase>();

/** A proxy, or another address in the settings of this worker, may lead to a copy of the database, where the rows are older. */
async function requireSameServer(client: ClientBase, services: ByKeyServices): Promise<void> {
  if (OWN.has(client)) return;
  const own = await services.deployment();
  const found = await readDeployment(client, own.pipeline);
  if (found.id !== own.id)
    throw new Failure('WrongWorker', {
      message: `Rows would be read by key from deployment ${describeDeployment(found)}, and this worker serves deployment ${describeDeployment(own)}.`,
      remedy: 'Let PG_HOST and PG_PORT of this worker lead to the primary of the tables, always to the same one.',
    });
  OWN.add(client);
}

const OPEN = 0x5b;
const COMMA = 0x2c;
const CLOSE = 0x5d;

/** One value for PostgreSQL, sent as bytes: nothing of it is decoded. */
function arrayOf({ values, bytes }: KeyBatch): Buffer {
  const array = Buffer.allocUnsafe(bytes + 2);
  let at = 0;
  for (const value of values) {
    array[at] = at === 0 ? OPEN : COMMA;
    at += 1 + value.copy(array, at + 1);
  }
  array[at] = CLOSE;
  return array.subarray(0, at + 1);
}

/** The loader reads PostgreSQL here: nobody expects that of a worker that loads a topic, so each sentence says it. */
function explain(error: unknown, table: ReplicatedTable, role: string): Failure {
  const title = formatTableName(table.name);
  const name = sourceName(table);
  const failure = classifyPostgres(error, `reading rows of ${title} by key`);
  if (failure.kind === 'SourceUnavailable')
    return new Failure('SourceUnavailable', {
      message: failure === error ? `${failure.message} The rows of ${title} are loaded by key.` : failure.message,
      remedy:
        'With --payload key the loader reads each row from PostgreSQL. Check that its primary runs and is reachable from the worker that loads. Kafka keeps the keys; the table goes on by itself.',
      cause: error,
    });
  if (failure === error) return failure;
  if (failure.kind === 'Unauthorized')
    return new Failure('Unauthorized', {
      message: `The PostgreSQL role "${role}" of the worker that loads may not read ${title}, whose rows are loaded by key.`,
      remedy: `With --payload key the loader needs: grant usage on schema ${quotePg(name.schema)} to ${quotePg(role)}; grant select on table ${qualified(name)} to ${quotePg(role)}. Then resume.`,
      cause: error,
    });
  return explainMissing(failure, error);
}
