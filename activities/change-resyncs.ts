import type { BackfillReceipt, BackfillRequest, CancelBackfillRequest } from '../src/domain/receipt.js';
import { firstLoader, targetOf, type ReplicatedTable } from '../src/domain/replicated-table.js';
import type { KeptTable } from '../src/domain/kept-table.js';
import { resyncName, resyncStage, runningResync, type Resync } from '../src/domain/resync.js';
import { copyStage, deliveryStage, engineOf, type LoaderSpec, type StageId } from '../src/domain/route.js';
import { formatTableName, shellName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { logFailure } from '../src/clickhouse/append/log-failure.js';
import { targetNames } from '../src/clickhouse/names.js';
import { dropLeft, makeShadow, takeShadow } from '../src/clickhouse/shadow.js';
import { changeStages, claimPrepared, definitionOf } from '../src/ledger/change-route.js';
import { forgetLoaderRows } from '../src/ledger/quarantine-rows.js';
import { claimStage, readStages } from '../src/ledger/stages.js';
import type { Definition } from '../src/ledger/tables.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import type { Deps } from './deps.js';
import { requireLoader } from './loader-target.js';
import { requireOwnTable } from './require-own-table.js';

/**
 * Makes a shadow and lets the live flow write to it too, in one statement of the ledger: attempts that know the live table only are fenced.
 * The copy draws its position later, so each change is in the copy or is written to both. Idempotent: a request is found again by its id.
 */
export async function startResync(deps: Deps, request: BackfillRequest): Promise<BackfillReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'startBackfill');
    const deployment = await deps.deployment();
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, deployment);
    const loader = request.loader === undefined ? firstLoader(table) : requireLoader(table, request.loader);
    for (const each of table.route.loaders) {
      const { name, target, resync } = each;
      if (resync === undefined) continue;
      const stage = resyncStage(resync);
      // A workflow that was started again does not know it: it goes on under this request.
      const isLeft =
        name === loader.name && runningResync(each) !== undefined && request.running?.includes(stage) === false;
      if (resync.requestId === request.requestId || isLeft)
        return { stage, loader: name, target: targetNames(target).shown };
    }
    await requireFit(deps, table, loader);
    steps.begin('making the shadow');
    const live = targetOf(table, loader, deployment.id);
    const last = Math.max(0, ...table.route.loaders.map(({ resync }) => resync?.number ?? 0));
    const made = await makeShadow(deps.sink(live).clickhouse, live, last);
    const { requestId, keep } = request;
    const stage = resyncStage(made);
    await changeStages(deps.ledger, claim, table, {
      definition: withResync(table, loader, {
        ...made,
        requestId,
        ...(keep === undefined ? {} : { keep }),
        state: 'filling',
      }),
      add: { [stage]: {} },
      fence: [deliveryStage(table.route, loader.name)],
    });
    return { stage, loader: loader.name, target: targetNames(loader.target).shown };
  });
}

/**
 * Ends a resync and drops its shadow. The shadow is renamed first: an attempt that is about to exchange it cannot do so any more when the
 * live flow stops writing to it. Idempotent.
 * @throws Failure `Misconfigured` where it has taken the place of the live table already
 */
export async function cancelResync(deps: Deps, { backfill: stage, ...address }: CancelBackfillRequest): Promise<void> {
  await runSlice(UNBOUNDED, async () => {
    const deployment = await deps.deployment();
    const { table, claim } = await claimPrepared(deps.ledger, address);
    requireOwnTable(table, deployment);
    const { loader, resync } = resyncOf(table, stage) ?? {};
    if (loader === undefined || resync === undefined) return;
    const live = targetOf(table, loader, deployment.id);
    const { clickhouse } = deps.sink(live);
    if (resync.state === 'swapped') throw tooLate(table, resync);
    if (resync.state === 'filling') {
      const { epoch } = await claimStage(deps.ledger, { tableId: table.id, stage, owner: deps.owner });
      if ((await takeShadow(clickhouse, loader.target, resync, BigInt(epoch))) === 'swapped')
        throw tooLate(table, resync);
      await changeStages(deps.ledger, claim, table, {
        definition: withResync(table, loader, { ...resync, state: 'cancelled' }),
        remove: [stage],
        // Who has claimed it since may have exchanged the tables.
        claimed: { [stage]: epoch },
        fence: [deliveryStage(table.route, loader.name)],
      });
    }
    await forgetLoaderRows(deps.ledger, table.id, resyncName(resync));
    await dropLeft(clickhouse, live, resync, resync.uuid);
  });
}

/** @returns undefined for a stage that no loader knows */
export function resyncOf(
  table: ReplicatedTable,
  stage: StageId,
): { readonly loader: LoaderSpec; readonly resync: Resync } | undefined {
  for (const loader of table.route.loaders) {
    const { resync } = loader;
    if (resync !== undefined && resyncStage(resync) === stage) return { loader, resync };
  }
  return undefined;
}

/** @param old tables that are kept from now on */
export function withResync(
  table: ReplicatedTable,
  { name }: LoaderSpec,
  resync: Resync,
  old: readonly KeptTable[] = [],
): Definition {
  const loaders = table.route.loaders.map((each) => {
    if (each.name !== name) return each;
    return { ...each, resync, ...(old.length === 0 ? {} : { kept: [...(each.kept ?? []), ...old] }) };
  });
  return { ...definitionOf(table), route: { ...table.route, loaders } };
}

/** @throws Failure `Misconfigured` */
async function requireFit({ ledger }: Deps, table: ReplicatedTable, loader: LoaderSpec): Promise<void> {
  const { shown } = targetNames(loader.target);
  const refuse = (message: string, remedy: string): never => {
    throw new Failure('Misconfigured', { message, remedy });
  };
  const readAll = `pg2click backfill ${shellName(table.name)} --prune`;
  if (engineOf(loader) === 'log') throw logFailure(loader.target);
  if (table.route.capture.appendOnly === true || engineOf(loader) !== 'replacing')
    refuse(
      `Rows of ${shown} have no versions: those of a copy would be there twice.`,
      'Remove the table and add it again.',
    );
  if (loader.kind !== 'worker')
    refuse(`ClickHouse itself loads ${shown}: nobody can write to a second table beside it.`, `Run ${readAll}.`);
  if (loader.layout?.cluster !== undefined)
    refuse(`${shown} is on a cluster, where two tables are not exchanged in one moment.`, `Run ${readAll}.`);
  if (table.route.loaders.some((each) => runningResync(each) !== undefined))
    refuse(`A resync of ${formatTableName(table.name)} runs already.`, 'Wait for its end, or cancel it.');
  const copy = (await readStages(ledger, table.id)).find(({ stage }) => stage === copyStage(loader.name));
  if ((copy?.position as { readonly done?: string } | undefined)?.done === undefined)
    refuse(`${shown} is being copied: that is not done yet.`, 'Wait for its end.');
}

function tooLate(table: ReplicatedTable, { number }: Resync): Failure {
  return new Failure('Misconfigured', {
    message: `Resync ${number} of ${formatTableName(table.name)} cannot be cancelled any more: its table is the live one.`,
    remedy: 'Nothing to do: it ends by itself.',
  });
}
