import { isBackfill, type BackfillPosition } from '../src/domain/backfill.js';
import type { BackfillReceipt, BackfillRequest, CancelBackfillRequest } from '../src/domain/receipt.js';
import { firstLoader, targetOf, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { isResync } from '../src/domain/resync.js';
import { engineOf, nextStage, type LoaderSpec } from '../src/domain/route.js';
import { Failure } from '../src/failure/failure.js';
import { logFailure } from '../src/clickhouse/append/log-failure.js';
import { flawOfPrune, needsBytewise } from '../src/clickhouse/key-range.js';
import { targetNames } from '../src/clickhouse/names.js';
import { changeStages, claimPrepared } from '../src/ledger/change-route.js';
import { readStages } from '../src/ledger/stages.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import { checkWhere } from '../src/source/copy/check-where.js';
import { readKeyRange } from '../src/source/copy/parse-key.js';
import type { Deps } from './deps.js';
import { cancelResync, startResync } from './change-resyncs.js';
import { requireLoader } from './loader-target.js';
import { requireOwnTable } from './require-own-table.js';

/** Checks what is asked for and writes a stage to the ledger. Idempotent: a request is found again by its id. */
export async function startBackfill(deps: Deps, request: BackfillRequest): Promise<BackfillReceipt> {
  if (request.resync === true) return startResync(deps, request);
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'startBackfill');
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, await deps.deployment());
    const stages = await readStages(deps.ledger, table.id);
    const backfills = stages.filter(({ stage }) => isBackfill(stage));
    const known = backfills.find(({ position }) => (position as BackfillPosition).requestId === request.requestId);
    if (known !== undefined) return receiptOf(table, known.stage, known.position as BackfillPosition);
    const loader = chooseLoader(table, request);
    steps.begin('looking at the range');
    const position = await readPosition(deps, table, request, loader);
    // Rows of those that have ended stay until the next one: a slice that is tried again must find its own.
    const ended =
      request.running === undefined ? [] : backfills.filter(({ stage }) => !request.running?.includes(stage));
    const stage = nextStage('backfill', backfills);
    await changeStages(deps.ledger, claim, table, {
      add: { [stage]: position },
      remove: ended.map((each) => each.stage),
    });
    return receiptOf(table, stage, position);
  });
}

/** Forgets a backfill: who still works on it is fenced. What it has written stays. Idempotent. */
export async function cancelBackfill(deps: Deps, request: CancelBackfillRequest): Promise<void> {
  if (isResync(request.backfill)) return cancelResync(deps, request);
  await runSlice(UNBOUNDED, async () => {
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, await deps.deployment());
    await changeStages(deps.ledger, claim, table, { remove: [request.backfill] });
  });
}

function chooseLoader(table: ReplicatedTable, { loader: name }: BackfillRequest): LoaderSpec {
  const loader = name === undefined ? firstLoader(table) : requireLoader(table, name);
  if (engineOf(loader) === 'log') throw logFailure(loader.target);
  if (table.route.capture.appendOnly === true || engineOf(loader) !== 'replacing')
    throw new Failure('Misconfigured', {
      message: `Rows of ${targetNames(loader.target).shown} have no versions: those of a backfill would be there twice.`,
      remedy: 'Remove the table and add it again: it is read from its first row.',
    });
  return loader;
}

async function readPosition(
  deps: Deps,
  table: ReplicatedTable,
  { from, to, where, prune = false, requestId }: BackfillRequest,
  loader: LoaderSpec,
): Promise<BackfillPosition> {
  const bounds = { from: from === undefined ? null : [], to: to === undefined ? null : [] };
  const target = targetOf(table, loader, (await deps.deployment()).id);
  const flaw = prune ? flawOfPrune(target, bounds) : undefined;
  if (flaw !== undefined)
    throw new Failure('Misconfigured', {
      message: flaw,
      remedy: 'Leave out --from and --to to prune the whole table, or leave out --prune.',
    });
  const isAll = from === undefined && to === undefined;
  const options = { bytewise: prune && needsBytewise(target, bounds) };
  const range = isAll ? null : await readKeyRange(deps.source, table, { from, to }, options);
  if (where !== undefined) await checkWhere(deps.source, table, where);
  return { requestId, loader: loader.name, range, where: where ?? null, prune };
}

function receiptOf(table: ReplicatedTable, stage: string, { loader }: BackfillPosition): BackfillReceipt {
  return { stage, loader, target: targetNames(requireLoader(table, loader).target).shown };
}
