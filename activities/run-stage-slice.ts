import type { BatchName } from '../src/domain/batch.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { inputOf, loaderOf, type StageId } from '../src/domain/route.js';
import { formatTableName } from '../src/domain/table-name.js';
import { laterShapes, type ShapeChange } from '../src/domain/shape.js';
import { Failure } from '../src/failure/failure.js';
import { policyOf } from '../src/failure/kinds.js';
import { spellCommands } from '../src/failure/remedies.js';
import { awaitsCopy } from '../src/ledger/copy-again.js';
import { countOpen } from '../src/ledger/quarantine.js';
import { isMissingLedger } from '../src/ledger/query.js';
import { claimStage, type StageRow } from '../src/ledger/stages.js';
import { countBatch } from '../src/observe/count-batch.js';
import type { SourceState } from '../src/pipeline/batch.js';
import { ShapeBehind } from '../src/pipeline/shape-behind.js';
import type { StageEnds } from '../src/pipeline/run-readers.js';
import { runStage, type StageOptions } from '../src/pipeline/run-stage.js';
import { columnsKey } from '../src/source/catalog/columns-text.js';
import { runSlice, type Slice, type SliceOptions } from '../src/pipeline/slice.js';
import type { StageContext } from '../src/pipeline/stage.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { followSource } from './follow-source.js';
import { ServerRestarted } from './go-back.js';

/** A stage that was opened, and how it is run. */
export interface StageWork {
  /** Moves batches until the slice is ending, or nothing is left. */
  run(slice: Slice, options: StageOptions): Promise<void>;
  state(): SourceState;
}

/** One loop between two ends. */
export function loopOf<Name extends BatchName, Content>({ source, writer }: StageEnds<Name, Content>): StageWork {
  return {
    async run(slice, options) {
      await using opened = source;
      await runStage(slice, opened, writer, options);
    },
    state: () => source.state(),
  };
}

export interface StageSliceOptions extends SliceOptions {
  /** It may note several changes of the columns, and goes on. */
  readonly outlivesChanges?: boolean;
}

/** One change of the columns may come behind another. */
const MOST_OPENINGS = 10;

/** A workflow that has forgotten all of them needs the last one; the others are for its history. */
const MOST_SHAPES = 10;

/**
 * One slice of a stage, as every stage activity runs it: find the table, claim the stage, open its ends, run the loop. Ends that meet
 * other columns than they were opened with are opened again with those. A slice that has noted a change of the columns ends with it, so
 * that the workflow knows; one that has no length of its own goes on.
 * @param stage used where the request names none
 */
export async function runStageSlice<Row extends StageRow, Name extends BatchName, Content>(
  deps: Deps,
  request: SliceRequest,
  stage: StageId,
  open: (context: StageContext<Row>) => Promise<StageEnds<Name, Content> | StageWork> | StageEnds<Name, Content>,
  options: StageSliceOptions = {},
): Promise<SliceReceipt> {
  const id = request.stage ?? stage;
  const totals = { batches: 0, rows: 0, bytes: 0 };
  const shapes: ShapeChange[] = [];
  let isMetAgain = false;
  let table: ReplicatedTable | undefined;
  let state: SourceState | undefined;

  async function move(slice: Slice): Promise<void> {
    const own = await deps.deployment();
    const { id: tableId } = await findPreparedTable(deps.ledger, request, own);
    const row = await claimStage<Row>(deps.ledger, { tableId, stage: id, owner: deps.owner });
    const claim = { tableId, stage: id, epoch: row.epoch };
    // After the claim: a change of the route from here on fences it, and one before it is seen. A row and a route that do not belong
    // together would name batches that nobody can read.
    const found = await findPreparedTable(deps.ledger, request, own);
    table = found;
    const opened = await open({ table: found, stage: id, slice, request, row, claim });
    const work = 'run' in opened ? opened : loopOf(opened);
    try {
      await work.run(slice, {
        stage: id,
        proof: row.proof,
        verifyEveryMs: request.sliceMs,
        isChanged: changesOf(deps, found, id),
        onBatch: (batch) => {
          totals.batches += 1;
          totals.rows += batch.rows;
          totals.bytes += batch.bytes;
          countBatch(deps.meters, request, { stage: id, ...batch });
        },
      });
    } finally {
      state = work.state();
    }
  }

  async function receipt(): Promise<SliceReceipt> {
    if (table === undefined || state === undefined) throw new Error('a stage that was not opened has no receipt');
    const newest = shapes.length === 0 ? table : await findPreparedTable(deps.ledger, request, await deps.deployment());
    // Also where the receipt of the slice that noted the change was lost.
    const awaits =
      laterShapes(newest).some((shape) => shape.class === 'copy') && (await awaitsCopy(deps.ledger, newest.id));
    return {
      stage: id,
      ...totals,
      ...state,
      quarantined: await countOpen(deps.ledger, newest.id),
      ...shapesFor(request, newest, shapes),
      ...(awaits ? { copyAgain: true } : {}),
    };
  }

  const moved = runSlice(
    request,
    async (plain) => {
      const slice = saysWhenWell(deps, request, id, plain);
      for (let opening = 1; ; opening += 1) {
        try {
          await move(slice);
          return await receipt();
        } catch (met) {
          if (table === undefined || opening >= MOST_OPENINGS) throw met;
          if (met instanceof ServerRestarted) continue;
          // Whose outbox was dropped under the slice: opened again, the source is compared first, and that says what to do.
          if (!isMetAgain && isMissingLedger(met)) {
            isMetAgain = true;
            continue;
          }
          const { signal } = slice;
          const change = await followSource(deps, request, { table, met, isMetAgain, signal });
          isMetAgain = true;
          if (change !== undefined) shapes.push(change);
        }
        if (shapes.length > 0 && options.outlivesChanges !== true) return receipt();
      }
    },
    options,
  );
  return moved.catch((error: unknown) => {
    throw table === undefined || !isOfTable(table, id) ? error : advise(error, table);
  });
}

/** A failure of another loader than the first ends with that one. */
function isOfTable({ route }: ReplicatedTable, stage: StageId): boolean {
  const loader = loaderOf(stage);
  return loader === undefined || loader === route.loaders[0]?.name;
}

function advise(error: unknown, table: ReplicatedTable): unknown {
  if (!(error instanceof Failure)) return error;
  const { kind, remedy = policyOf(kind).remedy } = error;
  return error.withRemedy(spellCommands(remedy, table));
}

/** An attempt that is not the first follows one that failed. Both ends were looked at when it reports that it moves. */
function saysWhenWell(deps: Deps, { pipeline, ...name }: SliceRequest, stage: StageId, slice: Slice): Slice {
  if (slice.attempt === 1) return slice;
  let isSaid = false;
  return {
    ...slice,
    progress(progress) {
      slice.progress(progress);
      if (isSaid) return;
      isSaid = true;
      const { attempt } = slice;
      deps.log.info({ table: formatTableName(name), pipeline, stage, worker: deps.owner, attempt }, 'well again');
    },
  };
}

/** Not only those that this slice has noted: the receipt of the slice that did may have been lost. */
function shapesFor(
  { shape: known }: SliceRequest,
  table: ReplicatedTable,
  noted: readonly ShapeChange[],
): Pick<SliceReceipt, 'shapes'> {
  const unknown = known === undefined ? noted : laterShapes(table).filter(({ shape }) => shape > known);
  if (unknown.length === 0) return {};
  const shapes = unknown
    .slice(-MOST_SHAPES)
    .map(({ shape, class: kind, change, notedAt }) => ({ shape, class: kind, change, notedAt }));
  return { shapes };
}

/** @returns what a stage that idles asks now and then. @throws (from it) ShapeBehind where another stage has noted a shape */
function changesOf({ polls }: Deps, table: ReplicatedTable, stage: StageId): () => Promise<boolean> {
  const { id, shape } = table;
  let known: string | undefined;
  return async () => {
    const newest = Number((await polls.shapes.get(id)) ?? shape);
    if (newest > shape) throw new ShapeBehind(shape, newest);
    // A loader reads no table, and may not reach one.
    if (inputOf(stage) !== 'capture' && table.route.capture.foreignTopic !== true) return false;
    const text = await polls.columns.get(columnsKey(table));
    const isChanged = known !== undefined && text !== known;
    known = text;
    return isChanged;
  };
}
