import type { ChangeReceipt, ChangeRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { formatTableName, shellName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { policyOf } from '../src/failure/kinds.js';
import { claimTable } from '../src/ledger/registration.js';
import { runSlice, UNBOUNDED } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import type { Change } from './change.js';
import { clearCaptures, drainChange, prepareChange, switchChange } from './change-steps.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { planChange, type ChangePlan, type ChangeRefusal } from './plan-change.js';
import { receiptOf } from './prepare-table.js';

/**
 * One step of a change of a table's route. Each attempt claims the table, reads what the ledger has, and plans again: whatever an
 * earlier attempt has done, it goes on from there. A step that finds the change done says so. What may not be changed is refused
 * here and parks nothing: the table goes on as it is.
 */
export async function changeRoute(
  deps: Deps,
  request: ChangeRequest,
  options: { readonly lockWaitMs?: number } = {},
): Promise<ChangeReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'configure');
    const own = await deps.deployment();
    steps.begin('claiming the table');
    const claim = await claimTable(deps.ledger, await findPreparedTable(deps.ledger, request, own));
    const table = await findPreparedTable(deps.ledger, request, own);
    steps.begin('planning the change');
    const plan = await planOrRefusal(deps, table, request);
    const change = { deps, steps, claim, deployment: own, table, lockWaitMs: options.lockWaitMs };
    if ('why' in plan) {
      // What the change had begun to make goes: nobody would go on with it.
      const refused = [plan.why, plan.wayOut].filter(Boolean).join(' ');
      return { next: null, refused, prepared: receiptOf(await clearCaptures(change), null) };
    }
    if (plan.kind === 'none') return { next: null, prepared: receiptOf(await clearCaptures(change), null) };
    try {
      return await doStep({ ...change, ...plan }, request);
    } catch (error) {
      throw await giveUp(change, request, error);
    }
  });
}

function doStep(change: Change, { step, start }: ChangeRequest): Promise<ChangeReceipt> {
  switch (step) {
    case 'preparing':
      return prepareChange(change);
    case 'draining':
      return drainChange(change, start);
    case 'switching':
    // Not switched after all: the ledger was restored.
    case 'clearing':
      return switchChange(change, start);
    default:
      return step satisfies never;
  }
}

async function planOrRefusal(
  deps: Deps,
  table: ReplicatedTable,
  { options }: ChangeRequest,
): Promise<ChangePlan | ChangeRefusal> {
  try {
    return await planChange({ ...deps, loaders: { kinds: deps.loaders.kinds } }, table, options);
  } catch (error) {
    if (error instanceof Failure && policyOf(error.kind).treatment === 'parked')
      return { why: error.message, ...(error.remedy === undefined ? {} : { wayOut: error.remedy }) };
    throw error;
  }
}

/**
 * A change that only a person can help is parked, and the old route goes on meanwhile: what was made for the new one goes, so
 * that the table is as its fingerprint says. `resume` tries the change again from its beginning.
 */
async function giveUp(
  change: Omit<Change, 'kind' | 'route'>,
  request: ChangeRequest,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof Failure) || policyOf(error.kind).treatment !== 'parked') return error;
  try {
    const table = await findPreparedTable(change.deps.ledger, request, change.deployment);
    await clearCaptures({ ...change, table });
  } catch {
    // The first failure is the one to tell; the next attempt, or the removal of the table, finds what is left.
  }
  const { name, route } = change.table;
  const { kind, message, cause } = error;
  return new Failure(kind, {
    message: `The route of ${formatTableName(name)} was not changed: ${message}`,
    remedy:
      `${error.remedy ?? policyOf(kind).remedy} To leave the table as it is: ` +
      `pg2click configure ${shellName(name)} --capture ${route.capture.kind} --transport ${route.transport.kind}, then resume.`,
    cause,
  });
}
