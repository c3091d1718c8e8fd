import type { Queryable } from '../../connect/queryable.js';
import { literal } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { roleScript } from '../../package-root.js';
import { withBriefLock, type DdlOptions } from '../brief-lock.js';
import { verifyInspected } from '../catalog/verify-inspected.js';
import { BLOCKS_DROP, BLOCKS_READING, BLOCKS_TRIGGERS } from '../lock-holders.js';
import { BEGIN_DDL } from '../outbox/install.js';
import { qualified } from '../outbox/names.js';
import { inTransaction } from '../transaction.js';
import { AWAKE, findFlag, flagOf, wakeFunction, wakeFunctionSql, wakeTrigger, wakeTriggerSql } from './wake-trigger.js';

type PolledTable = Pick<
  ReplicatedTable,
  'id' | 'name' | 'source' | 'relation' | 'columns' | 'excluded' | 'where' | 'key'
>;

/**
 * Nothing is made: the table is held as it is, by the weakest lock, and looked at once more.
 * @param pg a connection of its own, not a pool
 * @returns the fingerprint
 * @throws Failure `LockTimeout`; `Fenced` where it was changed meanwhile
 */
export async function holdAsInspected(pg: Queryable, table: PolledTable, options: DdlOptions = {}): Promise<string> {
  return underLock(pg, table, { modes: BLOCKS_READING, options }, async () => {
    await pg.query(/* sql */ `lock table ${qualified(sourceName(table))} in access share mode`);
    return (await verifyInspected(pg, table, 'nothing')).fingerprint;
  });
}

/** Makes the flag, the function and the trigger that wakes a reader. Makes nothing where they are there. @throws as `holdAsInspected` */
export async function installWake(pg: Queryable, table: PolledTable, options: DdlOptions = {}): Promise<string> {
  if (await isInstalled(pg, table)) return holdAsInspected(pg, table, options);
  return underLock(pg, table, { modes: BLOCKS_TRIGGERS, options }, async () => {
    await options.fence?.(pg);
    await requireSchema(pg);
    const { id } = table;
    await pg.query(/* sql */ `create sequence if not exists ${flagOf(id)} cache 1`);
    await pg.query(/* sql */ `select pg_catalog.setval(${literal(flagOf(id))}, ${AWAKE})`);
    const flag = (await findFlag(pg, id)) ?? '0';
    await pg.query(wakeFunctionSql(id, flag));
    await pg.query(/* sql */ `revoke all on function ${wakeFunction(id)}() from public`);
    // Last: it locks the user's table until the commit.
    await pg.query(wakeTriggerSql(table));
    return (await verifyInspected(pg, table, 'trigger')).fingerprint;
  });
}

/** Takes away what `installWake` made, wherever its table is by now. @throws Failure `LockTimeout`; what `options.fence` throws */
export async function removeWake(
  pg: Queryable,
  { id, name }: { readonly id: string; readonly name: TableName },
  options: DdlOptions = {},
): Promise<void> {
  const title = formatTableName(name);
  const relations = (): Promise<readonly string[]> => relationsOf(pg, id);
  try {
    if ((await relations()).length === 0) return;
    await withBriefLock(
      pg,
      { title, relations, modes: BLOCKS_DROP },
      () =>
        inTransaction(pg, BEGIN_DDL, async () => {
          await options.fence?.(pg);
          // The trigger goes with its function: to drop it by its name takes the owner of the table.
          await pg.query(/* sql */ `drop function if exists ${wakeFunction(id)}() cascade;
            drop sequence if exists ${flagOf(id)}`);
        }),
      options,
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `removing the trigger that notifies from ${title}`);
  }
}

async function underLock(
  pg: Queryable,
  { name, relation }: PolledTable,
  { modes, options }: { readonly modes: readonly string[]; readonly options: DdlOptions },
  work: () => Promise<string>,
): Promise<string> {
  const title = formatTableName(name);
  try {
    const wish = { title, relations: () => Promise.resolve([relation]), modes };
    return await withBriefLock(pg, wish, () => inTransaction(pg, BEGIN_DDL, work), options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw classifyPostgres(error, `making ${title} ready to be polled`);
  }
}

/** @throws Failure `Unauthorized` where nobody has made the schema, or made it another role's */
async function requireSchema(pg: Queryable): Promise<void> {
  const found = await pg.query<{ may: boolean }>(/* sql */ `select exists (
    select from pg_catalog.pg_namespace n
    where n.nspname = 'pg2click' and pg_catalog.has_schema_privilege(n.oid, 'create')) as may`);
  if (found.rows[0]?.may === true) return;
  throw new Failure('Unauthorized', {
    message:
      'The role may make no trigger function: there is no schema pg2click of its own in the database of the tables.',
    remedy: `Let an administrator run ${roleScript} there, then resume. Or add the table with --capture poll, or with --channel and a trigger of yours.`,
  });
}

async function isInstalled(pg: Queryable, { id, relation }: PolledTable): Promise<boolean> {
  const found = await pg.query<{ there: boolean }>(
    /* sql */ `select exists (
      select from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid
      join pg_catalog.pg_namespace n on n.oid = f.pronamespace and n.nspname = 'pg2click'
      where t.tgrelid = $1::oid and t.tgname = $2 and t.tgenabled <> 'D') as there`,
    [relation, wakeTrigger(id)],
  );
  return found.rows[0]?.there === true && (await findFlag(pg, id)) !== undefined;
}

/** The flag, and every table whose trigger calls the function. By the catalogue: a role that only reads may not name the schema. */
async function relationsOf(pg: Queryable, id: string): Promise<readonly string[]> {
  const found = await pg.query<{ oid: string }>(
    /* sql */ `select t.tgrelid::text as oid from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc f on f.oid = t.tgfoid
      join pg_catalog.pg_namespace n on n.oid = f.pronamespace
      where n.nspname = 'pg2click' and f.proname = $1
      union select c.oid::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'pg2click' and c.relname = $2`,
    [`notify_${id}`, `asleep_${id}`],
  );
  return found.rows.map(({ oid }) => oid);
}
