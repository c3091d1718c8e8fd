import type { ClientBase } from 'pg';
import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { fingerprintTable, type Fingerprint } from '../catalog/fingerprint.js';
import { inTransaction } from '../transaction.js';
import { readCaptureKey } from './capture-key.js';
import { captureBody, captureFunctionSql } from './capture-sql.js';
import type { CaptureFunction } from './names.js';
import { functionsOf, type CaptureForm } from './capture-form.js';

type RefreshedTable = Pick<ReplicatedTable, 'id' | 'name' | 'relation' | 'shape' | 'columns' | 'key' | 'fingerprint'> &
  Partial<Pick<ReplicatedTable, 'route'>> &
  CaptureForm;

/**
 * Replaces the trigger functions of a table that are not as this version makes them for the table as it is now: those of an
 * older version, and those whose key index was built again, which would capture each key in the slow way. CREATE OR REPLACE
 * takes no lock on the table, its triggers or its outbox, so nobody waits. An outbox of an older version keeps its form:
 * where a key does not fit it, an event says that something changed, and the table is parked.
 *
 * @param save keeps the fingerprint in which the replaced functions are the known ones; called in the transaction, before
 * its commit. Any other difference stays a difference.
 * @returns that fingerprint, or the table's own where nothing was replaced
 * @throws Failure `SourceUnavailable` and its like
 */
export async function refreshCapture(
  pg: ClientBase,
  table: RefreshedTable,
  save: (fingerprint: string) => Promise<void>,
): Promise<string> {
  try {
    if ((await findStale(pg, table)).length === 0) return table.fingerprint;
    // One at a time: PostgreSQL ends the second of two that replace one function with "tuple concurrently updated".
    const begin = /* sql */ `begin; set local synchronous_commit = on;
      select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pg2click triggers'), ${Number(table.id)})`;
    return await inTransaction(pg, begin, async () => {
      const stale = await findStale(pg, table);
      if (stale.length === 0) return table.fingerprint;
      for (const statement of stale) await pg.query(statement);
      const fingerprint = withFunctionsOf(table.fingerprint, await fingerprintTable(pg, table));
      await save(fingerprint);
      return fingerprint;
    });
  } catch (error) {
    throw classifyPostgres(error, `renewing the trigger functions of ${formatTableName(table.name)}`);
  }
}

/** @returns the statements that replace them; a function that is gone took its trigger along, and is not made here */
async function findStale(pg: Queryable, table: RefreshedTable): Promise<string[]> {
  const names = new Map<string, CaptureFunction>(
    functionsOf(table).map((event) => [`capture_${table.id}_${event}`, event]),
  );
  const found = await pg.query<{ name: string; body: string }>(
    /* sql */ `select f.proname::text as name, f.prosrc as body from pg_catalog.pg_proc f
      where f.pronamespace = pg_catalog.to_regnamespace('pg2click') and f.proname = any ($1)`,
    [[...names.keys()]],
  );
  const key = await readCaptureKey(pg, table);
  const { id, relation, shape, triggerLevel: level, isTree } = table;
  const capture = { id, relation, shape, level, isTree, key };
  return found.rows.flatMap(({ name, body }) => {
    const event = names.get(name);
    return event === undefined || body === captureBody(capture, event) ? [] : [captureFunctionSql(capture, event)];
  });
}

/** Of each trigger the second half of `row` is its function's. */
function withFunctionsOf(before: string, after: string): string {
  const old = JSON.parse(before) as Fingerprint;
  const now = JSON.parse(after) as Fingerprint;
  const triggers = Object.entries(old.triggers).map(([name, trigger]) => {
    const [own] = trigger.row.split('/');
    const [, ofFunction] = now.triggers[name]?.row.split('/') ?? [];
    return [name, ofFunction === undefined ? trigger : { ...trigger, row: `${own ?? ''}/${ofFunction}` }];
  });
  return JSON.stringify({ ...old, triggers: Object.fromEntries(triggers) as Fingerprint['triggers'] });
}
