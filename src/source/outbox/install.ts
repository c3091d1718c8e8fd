import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import type { Queryable } from '../../connect/queryable.js';
import {
  CAPTURE_FUNCTIONS,
  captureFunction,
  outboxTable,
  qualified,
  triggerName,
  type AppliedEvent,
  type OutboxEvent,
} from './names.js';
import { deleteDrainRow, insertDrainRow } from './drain-row.js';
import { readCaptureKey } from './capture-key.js';
import { captureFunctionSql } from './capture-sql.js';
import { enableSql, triggerSql } from './trigger-sql.js';
import { findUnguarded, guardPartition, guardTree, ownsTable } from './partitions.js';
import { firesIn, functionsOf, type CaptureForm } from './capture-form.js';
import { outboxTableSql, type OutboxKeyType } from './outbox-table-sql.js';
import { LOCK_TIMEOUT_MS, withBriefLock, type DdlOptions } from '../brief-lock.js';
import { BLOCKS_DROP, BLOCKS_READING, BLOCKS_TRIGGERS } from '../lock-holders.js';
import { inTransaction } from '../transaction.js';
import { changedMeanwhile } from '../catalog/verify-inspected.js';
import { verifyInstalled } from './verify-installed.js';

/**
 * A synchronous commit, so that what was announced is there after a crash. A worker that freezes in the middle loses its transaction,
 * and with it the lock on the user's table, after 2 s.
 */
export const BEGIN_DDL = /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local synchronous_commit = on;
  set local idle_in_transaction_session_timeout = '2s'; set local search_path = pg_catalog, pg_temp`;

type OutboxOwner = Pick<
  ReplicatedTable,
  'id' | 'name' | 'source' | 'relation' | 'shape' | 'columns' | 'excluded' | 'where' | 'key'
> &
  Partial<Pick<ReplicatedTable, 'route'>> &
  CaptureForm;

/**
 * Makes the outbox of a table, its trigger functions and its triggers, in one transaction. Makes nothing where all of them
 * are there: making the triggers again would look like a change of the source. From its return on, every change of the table
 * by any transaction leaves its key in the outbox.
 * @param pg a connection of its own, not a pool
 * @returns the fingerprint of the table, of the moment at which it was seen to be as `table` says
 * @throws Failure `LockTimeout` names who holds the table; `Fenced` where it was changed meanwhile; what `options.fence` throws
 */
export async function installOutbox(pg: Queryable, table: OutboxOwner, options: DdlOptions = {}): Promise<string> {
  const title = formatTableName(table.name);
  try {
    const isThere = await isInstalled(pg, table);
    const modes = isThere ? BLOCKS_READING : BLOCKS_TRIGGERS;
    const wish = { title, relations: () => relationOf(pg, table), modes };
    const work = async (): Promise<string> => {
      await (isThere ? holdAsItIs(pg, table) : install(pg, table, options));
      return verifyInstalled(pg, table);
    };
    return await withBriefLock(pg, wish, () => inTransaction(pg, BEGIN_DDL, work), options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `making the outbox of ${title}`);
  }
}

/** The words of ALTER TABLE; a trigger that is made fires in the sessions that apply nothing. */
const ENABLED: Readonly<Record<'A' | 'R' | 'O', 'always' | 'replica' | undefined>> = {
  A: 'always',
  R: 'replica',
  O: undefined,
};

/** Those on the table itself that run after what happened. */
function triggersOf(table: CaptureForm): readonly (OutboxEvent | AppliedEvent)[] {
  return functionsOf(table).filter((event) => event !== 'truncating');
}

/** The weakest lock, which SELECT allows: no ALTER of columns, key or name gets past it. */
async function holdAsItIs(pg: Queryable, table: OutboxOwner): Promise<void> {
  await pg.query(/* sql */ `lock table ${qualified(sourceName(table))} in access share mode`);
}

async function install(pg: Queryable, table: OutboxOwner, { fence, ledgerElsewhere }: DdlOptions): Promise<void> {
  await fence?.(pg);
  if (ledgerElsewhere === true) await insertDrainRow(pg, table.id);
  const types = await readKeyTypes(pg, table);
  const owned = await ownsTable(pg, sourceName(table));
  const { id, relation, shape, triggerLevel: level, isTree } = table;
  await pg.query(outboxTableSql(id, types));
  // What fits into the outbox is read from the outbox itself.
  const capture = { id, relation, shape, level, isTree, key: await readCaptureKey(pg, table) };
  const functions = functionsOf(table).flatMap((event) => [
    captureFunctionSql(capture, event),
    /* sql */ `revoke all on function ${captureFunction(id, event)}() from public`,
  ]);
  await pg.query(functions.join(';\n'));
  // Last, and in one message: it locks the user's table until the commit.
  const triggers = triggersOf(table).flatMap((event) => {
    const sessions = ENABLED[firesIn(table, event)];
    const enable = sessions === undefined ? [] : [enableSql(table, event, { sessions, owned })];
    return [triggerSql(table, event, table.triggerLevel), ...enable];
  });
  await pg.query(triggers.join(';\n'));
  if (!isTree) return;
  await pg.query(guardTree(table, owned).join(';\n'));
  for (const partition of await findUnguarded(pg, table)) await guardPartition(pg, id, partition.name);
}

/**
 * Takes the triggers off, wherever their table is by now, and drops the functions and the outbox. Nothing happens where
 * nothing is left. The triggers go with the functions they call: to drop one by its name takes the owner of its table.
 * @param pg a connection of its own, not a pool
 * @throws Failure `LockTimeout` names who reads or writes the table; what `options.fence` throws
 */
export async function removeOutbox(
  pg: Queryable,
  { id, name }: { id: string; name: TableName },
  { keepsOutbox = false, ...options }: DdlOptions = {},
): Promise<void> {
  const title = formatTableName(name);
  // The user's table is locked (with its triggers) before the outbox, as its writers do: no deadlock with them.
  const statements = [
    ...CAPTURE_FUNCTIONS.map((event) => /* sql */ `drop function if exists ${captureFunction(id, event)}() cascade`),
    ...(keepsOutbox ? [] : [/* sql */ `drop table if exists ${outboxTable(id)}`]),
  ];
  const remove = async (): Promise<void> => {
    await options.fence?.(pg);
    await pg.query(statements.join(';\n'));
    if (!keepsOutbox) await deleteDrainRow(pg, id);
  };
  try {
    const wish = { title, relations: () => relationsOfOutbox(pg, id, keepsOutbox), modes: BLOCKS_DROP };
    await withBriefLock(pg, wish, () => inTransaction(pg, BEGIN_DDL, remove), options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `removing the outbox of ${title}`);
  }
}

/** The table and, of a partitioned one, its partitions: a row trigger is made on each of them. */
async function relationOf(pg: Queryable, table: OutboxOwner): Promise<readonly string[]> {
  const found = await pg.query<{ oid: string }>(
    /* sql */ `select own.oid::text as oid from (select pg_catalog.to_regclass($1)::oid as oid) own where own.oid is not null
      union select part.relid::oid::text from pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) part`,
    [qualified(sourceName(table))],
  );
  return found.rows.map(({ oid }) => oid);
}

/** The outbox and every table with a trigger that writes to it: the user's may have another name by now. */
async function relationsOfOutbox(pg: Queryable, id: string, keepsOutbox: boolean): Promise<readonly string[]> {
  const functions = CAPTURE_FUNCTIONS.map((event) => `${captureFunction(id, event)}()`);
  const found = await pg.query<{ oid: string }>(
    /* sql */ `select t.tgrelid::text as oid from pg_catalog.pg_trigger t
      where t.tgfoid in (select pg_catalog.to_regprocedure(f)::oid from unnest($1::text[]) f)
      union select pg_catalog.to_regclass($2)::oid::text where pg_catalog.to_regclass($2) is not null and not $3`,
    [functions, outboxTable(id), keepsOutbox],
  );
  return found.rows.map(({ oid }) => oid);
}

async function isInstalled(pg: Queryable, table: OutboxOwner): Promise<boolean> {
  const wanted = triggersOf(table).map((event) => `${triggerName(table.id, event)} ${firesIn(table, event)}`);
  const found = await pg.query<{ triggers: number }>(
    /* sql */ `select count(*)::int as triggers from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid and f.pronamespace = pg_catalog.to_regnamespace('pg2click')
      where t.tgrelid = pg_catalog.to_regclass($1) and t.tgname || ' ' || t.tgenabled::text = any ($2)
        and pg_catalog.to_regclass($3) is not null`,
    [qualified(sourceName(table)), wanted, outboxTable(table.id)],
  );
  if (found.rows[0]?.triggers !== wanted.length) return false;
  return !table.isTree || (await findUnguarded(pg, table)).length === 0;
}

/**
 * Types and collations of the key columns, in key order, under a search path that qualifies every name. With the modifier -1, which
 * means none: `character` would be char(1).
 * @throws Failure `Unauthorized`: types are usable by all unless someone took that away, but not the schemas they are in
 */
export async function readKeyTypes(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'name' | 'source' | 'key'>,
): Promise<OutboxKeyType[]> {
  const found = await pg.query<{ name: string; type: string; collation: string | null; missing: string | null }>(
    /* sql */ `
    with recursive level (name, type, collated, depth) as (
      select a.attname, a.atttypid, a.attcollation, 0
      from pg_attribute a where a.attrelid = to_regclass($1) and a.attname = any ($2) and not a.attisdropped
      union all
      select level.name, d.typbasetype, level.collated, level.depth + 1
      from level join pg_type d on d.oid = level.type and d.typtype = 'd'
    )
    select distinct on (level.name) level.name::text as name, format_type(level.type, -1) as type,
      case when c.oid is not null then format('%I.%I', n.nspname, c.collname) end as "collation",
      case when not has_schema_privilege(t.typnamespace, 'usage')
             then format('grant usage on schema %s to %I', t.typnamespace::regnamespace, current_user)
           when not has_type_privilege(t.oid, 'usage')
             then format('grant usage on type %s to %I', format_type(t.oid, null), current_user)
           when not has_schema_privilege(n.oid, 'usage') then format('grant usage on schema %I to %I', n.nspname, current_user)
      end as missing
    from level
    join pg_type t on t.oid = level.type
    left join (pg_collation c join pg_namespace n on n.oid = c.collnamespace) on c.oid = level.collated
    order by level.name, level.depth desc`,
    [qualified(sourceName(table)), table.key],
  );
  return table.key.map((name) => {
    const row = found.rows.find((candidate) => candidate.name === name);
    if (row === undefined) throw changedMeanwhile(table.name);
    if (row.missing !== null)
      throw new Failure('Unauthorized', {
        message: `The PostgreSQL role may not use the type or collation of column ${name} of ${formatTableName(table.name)}.`,
        remedy: row.missing,
      });
    return { type: row.type, collation: row.collation };
  });
}
