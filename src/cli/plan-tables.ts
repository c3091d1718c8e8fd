import type { Databases } from '../connect/databases.js';
import { createPostgresPool, ledgerSettings } from '../connect/postgres.js';
import { describeTable } from '../control/describe-table.js';
import { requireOwnWorkflow } from '../control/own-workflow.js';
import type { TableOptions } from '../domain/replicated-table.js';
import { workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { FailureKind } from '../failure/kinds.js';
import type { TakenNames } from '../ledger/registration.js';
import { listNamedTables, type NamedTable } from '../source/catalog/list-tables.js';
import { checkTable, requireFreeNames, type CheckedTable } from './check-table.js';
import { judgeTarget } from './judge-target.js';
import { refuseRemoved } from './refuse-removed.js';
import { selectTables, type Selection } from './select-tables.js';
import type { Servers } from './servers.js';
import { targetNotes } from './target-notes.js';
import type { Session } from './session.js';

/** Tables that are looked at together; each takes PostgreSQL some ten short statements. */
const CHECKED_AT_ONCE = 4;

export type PlannedTable =
  | {
      readonly action: 'add';
      readonly table: NamedTable;
      readonly checked: CheckedTable;
      readonly notes: readonly string[];
    }
  | { readonly action: 'skip'; readonly table: NamedTable }
  | { readonly action: 'refuse'; readonly table: NamedTable; readonly reason: Failure };

export interface PlanRequest extends Selection {
  readonly options: TableOptions;
}

/** What is wrong with one table alone. Anything else would be wrong for all of them, and ends the command. */
const OF_ONE_TABLE: readonly FailureKind[] = [
  'MissingTable',
  'UnsuitableTable',
  'UnsupportedType',
  'TargetTaken',
  'Unauthorized',
];

/**
 * Looks at every table that the patterns mean, as `add` of one table does, and changes nothing.
 * @returns in the order of their names
 * @throws Failure as `selectTables`; what is wrong with a server or a setting
 */
export async function planTables(
  session: Session,
  servers: Servers,
  { options, ...selection }: PlanRequest,
): Promise<readonly PlannedTable[]> {
  const { settings, signal } = session;
  const pool = { max: CHECKED_AT_ONCE, name: 'cli' };
  const source = createPostgresPool(settings, pool);
  const ledger = settings.ledger === undefined ? source : createPostgresPool(ledgerSettings(settings), pool);
  try {
    const tables = selectTables(await listNamedTables(servers.source), selection);
    const looked = await inTurns(tables, { places: CHECKED_AT_ONCE, signal }, (table) =>
      planTable(session, { ...servers, source, ledger }, table, options),
    );
    return await refuseSharedNames(session, looked, options);
  } finally {
    await Promise.all([...new Set([source, ledger])].map((each) => each.end()));
  }
}

/** Runs work on each, a few at once. @returns what it returned, in the order of the items. @throws the signal's reason; what work throws */
export async function inTurns<Item, Result>(
  items: readonly Item[],
  { places, signal }: { readonly places: number; readonly signal: AbortSignal },
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  const takeTurns = async (): Promise<void> => {
    for (const [at, item] of waiting) {
      signal.throwIfAborted();
      results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: places }, takeTurns));
  return results;
}

async function planTable(
  { settings }: Session,
  { source, ledger, temporal: { client }, deployment }: Pick<Servers, 'temporal' | 'deployment'> & Databases,
  table: NamedTable,
  options: TableOptions,
): Promise<PlannedTable> {
  const { pipeline } = settings;
  try {
    const workflowId = workflowIdOf(pipeline, table.name);
    const description = await describeTable(client, workflowId);
    const isAdded = description?.running === true;
    if (isAdded) requireOwnWorkflow(client, workflowId, description, deployment);
    await refuseRemoved(client, { ...table.name, pipeline }, description);
    // With options it may have others: that is said.
    if (isAdded && Object.keys(options).length === 0) return { action: 'skip', table };
    const checked = await checkTable(
      { source, ledger },
      { ...table.name, pipeline, options },
      { settings, isAdded: () => Promise.resolve(isAdded) },
    );
    if (isAdded) return { action: 'skip', table };
    if (checked.prepared) return { action: 'add', table, checked, notes: [] };
    await judgeTarget(settings, table.name, checked);
    return { action: 'add', table, checked, notes: await targetNotes(source, table.name, checked) };
  } catch (error) {
    return refused(table, error);
  }
}

function refused(table: NamedTable, error: unknown): PlannedTable {
  if (error instanceof Failure && OF_ONE_TABLE.includes(error.kind)) return { action: 'refuse', table, reason: error };
  throw error;
}

/** Two of the new tables may want one topic or target: `public.shop_orders` and `shop.orders` both get `shop_orders`. */
async function refuseSharedNames(
  { settings }: Session,
  planned: readonly PlannedTable[],
  options: TableOptions,
): Promise<readonly PlannedTable[]> {
  const given: TakenNames[] = [];
  const result: PlannedTable[] = [];
  for (const each of planned) {
    if (each.action !== 'add' || each.checked.prepared) {
      result.push(each);
      continue;
    }
    const { table, checked } = each;
    const request = { ...table.name, pipeline: settings.pipeline, options };
    const taken = [...checked.taken, ...given];
    try {
      const isAdded = (): Promise<boolean> => Promise.resolve(false);
      given.push(await requireFreeNames(request, checked.inspection.capture, { settings, isAdded, taken }));
      result.push(each);
    } catch (error) {
      result.push(refused(table, error));
    }
  }
  return result;
}

/** Those whose plan is `action`. */
export function plannedTo<Action extends PlannedTable['action']>(
  plan: readonly PlannedTable[],
  action: Action,
): readonly Extract<PlannedTable, { action: Action }>[] {
  return plan.filter((each): each is Extract<PlannedTable, { action: Action }> => each.action === action);
}

export function nameOf({ table }: PlannedTable): TableName {
  return table.name;
}
