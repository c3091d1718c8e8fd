import type { CopyReceipt, SliceRequest } from '../src/domain/receipt.js';
import { keptBy, keptUntil } from '../src/domain/kept-table.js';
import { targetOf } from '../src/domain/replicated-table.js';
import { oldName, resyncName, shadowLoader } from '../src/domain/resync.js';
import { copyStage, deliveryStage, type StageId } from '../src/domain/route.js';
import { composeVersion } from '../src/domain/version.js';
import { Failure } from '../src/failure/failure.js';
import { writeFloor } from '../src/clickhouse/floor.js';
import { followShapes } from '../src/clickhouse/follow-shapes.js';
import { dropLeft, findPlaces, keepOld, shadowGone, swapShadow } from '../src/clickhouse/shadow.js';
import { countLostVersions } from '../src/clickhouse/lost-versions.js';
import { readUptime } from '../src/clickhouse/uptime.js';
import { changeStages, claimPrepared } from '../src/ledger/change-route.js';
import { closeBelow } from '../src/ledger/quarantine.js';
import { moveLoaderRows } from '../src/ledger/quarantine-rows.js';
import { fillAgain, noteFilling, readFilling } from '../src/ledger/filling.js';
import { claimStage, readStages, type StageClaim } from '../src/ledger/stages.js';
import { lackingTarget } from '../src/domain/quarantine.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import type { CopyPosition, CopyRow } from '../src/source/copy/copy-plan.js';
import { awaitFlow } from './await-flow.js';
import { resyncOf, withResync } from './change-resyncs.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { formatTableName } from '../src/domain/table-name.js';

interface ResyncStage {
  readonly deps: Deps;
  readonly request: SliceRequest;
  readonly stage: StageId;
}

/**
 * A slice of a resync: chunks into the shadow; after the last one the shadow takes the place of the live table. A crash between any two
 * steps is repaired by the next slice: the UUIDs in ClickHouse and the state in the ledger say which steps are done.
 * @param copy moves chunks into the shadow
 */
export async function fillShadow(
  deps: Deps,
  request: SliceRequest,
  stage: StageId,
  copy: () => Promise<CopyReceipt>,
): Promise<CopyReceipt> {
  const context = { deps, request, stage };
  const { table, loader, resync } = await read(context);
  const { clickhouse } = deps.sink(loader);
  if (resync.state === 'filling') {
    const { live, shadow } = await findPlaces(clickhouse, loader.target, resync);
    if (live !== resync.uuid) {
      if (shadow === undefined) throw shadowGone(loader.target, resync);
      await noteFilling(deps.ledger, { tableId: table.id, stage });
      const receipt = await copy();
      if (receipt.finished !== true) return receipt;
      // A row that an UPDATE moved between two chunks may be in neither: until its change is loaded, a reader would miss it.
      if (!(await isComplete(context))) return { ...receipt, finished: false };
    }
  }
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, stage);
    steps.begin('putting the table in its place');
    await swap(context);
    steps.begin('telling the ledger');
    await journalSwap(context);
    steps.begin('dropping the old table');
    return cleanUp(context);
  });
}

async function read({ deps, request, stage }: ResyncStage) {
  const deployment = await deps.deployment();
  const table = await findPreparedTable(deps.ledger, request, deployment);
  const found = resyncOf(table, stage);
  if (found === undefined || found.resync.state === 'cancelled')
    throw new Failure('Fenced', { message: `The resync of ${stage} has ended.` });
  return { ...found, table, target: targetOf(table, found.loader, deployment.id) };
}

/** @returns false where the live flow is not so far yet, or the copy begins again */
async function isComplete(context: ResyncStage): Promise<boolean> {
  const { deps, request, stage } = context;
  return runSlice(request, async (slice) => {
    const { table, loader } = await read(context);
    const row = await claimStage<CopyRow>(deps.ledger, { tableId: table.id, stage, owner: deps.owner });
    const claim = { tableId: table.id, stage, epoch: row.epoch };
    const flow = { table, loader: loader.name, claim, goal: row.position };
    const steps = stepsOf(slice, stage);
    if (!(await awaitFlow(deps, flow, slice, (doing) => steps.say(doing)))) return false;
    if (!(await mayLackRows(context, claim))) return true;
    deps.log.warn(
      { table: formatTableName(table.name), stage },
      'ClickHouse was started again, and rows may be lost: the copy begins again',
    );
    await fillAgain(deps.ledger, claim);
    return false;
  });
}

/** A server writes what it was given to its disk within a minute or so. */
const AT_RISK_SECONDS = 600;
/** What the two servers may differ by in telling how long ago something was. */
const TOLERANCE_SECONDS = 2;

/**
 * Whether ClickHouse may have lost rows of the shadow that it had acknowledged, because it was started again. Nobody reads the shadow, so
 * nobody else would notice. Chunks that were done before the end of the copy are seen to there.
 */
async function mayLackRows(context: ResyncStage, claim: StageClaim): Promise<boolean> {
  const { deps } = context;
  const { table, loader, resync, target } = await read(context);
  const { clickhouse } = deps.sink(loader);
  const { begun, copied } = await readFilling(deps.ledger, claim);
  const uptime = (await readUptime(clickhouse)) - TOLERANCE_SECONDS;
  if (uptime > begun) return false;
  if (uptime <= copied && copied - uptime < AT_RISK_SECONDS) return true;
  const { captured = '0', done = '0' } = await positionOf(context, table.id);
  const { shadow } = await findPlaces(clickhouse, loader.target, resync);
  const filled = targetOf(table, shadowLoader(loader, resync, shadow), target.deployment);
  const [above, upTo] = [done, captured].map(
    (position) => composeVersion(table.generation, BigInt(position) + 1n) - 1n,
  ) as [bigint, bigint];
  return (await countLostVersions(clickhouse, target, filled, [above, upTo])) > 0;
}

async function swap(context: ResyncStage): Promise<void> {
  const { deps, stage } = context;
  const { table, loader, resync, target } = await read(context);
  if (resync.state !== 'filling') return;
  const { clickhouse } = deps.sink(loader);
  const { epoch } = await claimStage(deps.ledger, { tableId: table.id, stage, owner: deps.owner });
  const { live, shadow } = await findPlaces(clickhouse, loader.target, resync);
  if (live === resync.uuid) return;
  // The view has the columns of the newest shape: the table that comes under it needs them.
  const filled = targetOf(table, shadowLoader(loader, resync, shadow), target.deployment);
  await followShapes(clickhouse, deps.ledger, filled);
  await swapShadow(clickhouse, loader.target, resync, BigInt(epoch));
}

/**
 * Tells the ledger, in one statement, that the shadow is the live table. Rows below the copy are hidden first: the copy has no tombstones,
 * so an insert of a frozen attempt would bring rows back that were deleted before.
 */
async function journalSwap(context: ResyncStage): Promise<void> {
  const { deps, request, stage } = context;
  const { target, table: before, resync: state } = await read(context);
  if (state.state !== 'filling') return;
  const { done, rows = '0' } = await positionOf(context, before.id);
  // Undefined where the copy was begun again and is not done: then the next copy hides what is older.
  const floor = done === undefined ? undefined : composeVersion(before.generation, BigInt(done)) - 1n;
  if (floor !== undefined) await writeFloor(deps.sink(target).clickhouse, target, floor);
  const { table, claim } = await claimPrepared(deps.ledger, request);
  const { loader, resync } = resyncOf(table, stage) ?? {};
  if (loader === undefined || resync?.state !== 'filling') return;
  const { keep, replaces: uuid } = resync;
  const old = keep === undefined ? [] : [{ table: oldName(resync), uuid, until: keptUntil(keep, Date.now()) }];
  const stages = [copyStage(loader.name), deliveryStage(table.route, loader.name)];
  await changeStages(deps.ledger, claim, table, {
    definition: withResync(table, loader, { ...resync, state: 'swapped', rows: Number(rows) }, old),
    remove: [stage],
    fence: stages,
    moved: stages,
    copied: done === undefined ? {} : { [copyStage(loader.name)]: { done, rows } },
  });
  if (floor !== undefined) await closeBelow(deps.ledger, lackingTarget(target), String(floor));
}

async function cleanUp(context: ResyncStage): Promise<CopyReceipt> {
  const { deps } = context;
  const { table, loader, resync, target } = await read(context);
  const { clickhouse } = deps.sink(loader);
  await moveLoaderRows(deps.ledger, resyncName(resync), lackingTarget(target));
  const isKept = resync.keep !== undefined;
  if (isKept) await keepOld(clickhouse, loader.target, resync, oldName(resync));
  await dropLeft(clickhouse, target, resync, isKept ? resync.uuid : resync.replaces);
  deps.log.info(
    { table: formatTableName(table.name), stage: context.stage, rows: resync.rows },
    'a filled table is the live one',
  );
  return { rows: resync.rows ?? 0, bytes: 0, seconds: 0, position: '0', finished: true, kept: keptBy(table.route) };
}

async function positionOf({ deps, stage }: ResyncStage, tableId: string): Promise<CopyPosition> {
  const row = (await readStages(deps.ledger, tableId)).find((each) => each.stage === stage);
  return (row?.position ?? {}) as CopyPosition;
}
