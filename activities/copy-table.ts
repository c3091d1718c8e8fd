import { ClickHouseWriter, type InsertCopy } from '../src/clickhouse/clickhouse-writer.js';
import { CopyEndWriter } from '../src/clickhouse/copy-end-writer.js';
import { readUptime } from '../src/clickhouse/uptime.js';
import type { ChunkBatch } from '../src/domain/chunk.js';
import type { CopyReceipt, SliceProgress, SliceRequest } from '../src/domain/receipt.js';
import type { TargetTable } from '../src/domain/replicated-table.js';
import { isResync } from '../src/domain/resync.js';
import { COPY_STAGE, MAIN_LOADER } from '../src/domain/route.js';
import { formatTableName } from '../src/domain/table-name.js';
import { mapContent } from '../src/pipeline/batch.js';
import { CHUNK_RETRY } from '../src/pipeline/retry.js';
import { runReaders, type StageEnds } from '../src/pipeline/run-readers.js';
import { runStage, type StageOptions } from '../src/pipeline/run-stage.js';
import type { Slice } from '../src/pipeline/slice.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { ChunkSource } from '../src/source/copy/chunk-source.js';
import { ChunksReopened, CopyEnd } from '../src/source/copy/copy-end.js';
import { CopyPlan, type CopyRow } from '../src/source/copy/copy-plan.js';
import { HeapMoved } from '../src/source/copy/copy-rows.js';
import { awaitFlow } from './await-flow.js';
import type { Deps } from './deps.js';
import { fillShadow } from './fill-shadow.js';
import { captureOf } from './foreign-topic.js';
import { findStageTarget } from './find-stage-target.js';
import { quarantining } from './quarantining.js';
import { runStageSlice } from './run-stage-slice.js';

/**
 * A slice of the first load of a target, of a backfill or of a resync: chunks of the table -> ClickHouse, several at once. An attempt
 * that broke off leaves rows of the chunks in hand behind, which the next one writes again.
 */
export async function copyTable(deps: Deps, request: SliceRequest): Promise<CopyReceipt> {
  const { stage = COPY_STAGE } = request;
  const copy = (): Promise<CopyReceipt> => copySlice(deps, request);
  return isResync(stage) ? fillShadow(deps, request, stage, copy) : copy();
}

/** Chunks of it, and its end. */
export async function copySlice(deps: Deps, request: SliceRequest): Promise<CopyReceipt> {
  const startedAt = Date.now();
  let plan: CopyPlan | undefined;
  const { bytes, checkpoint } = await runStageSlice(
    deps,
    request,
    COPY_STAGE,
    async (context: StageContext<CopyRow>) => {
      const target = await findStageTarget(deps, context.table, context.stage);
      const opened = new CopyPlan(deps, context);
      plan = opened;
      return {
        run: (slice: Slice, options: StageOptions) =>
          copyChunks(deps, { context, plan: opened, target }, slice, options),
        state: () => opened.state(),
      };
    },
    { outlivesChanges: true },
  );
  if (plan === undefined) throw new Error('a copy that was not opened has no receipt');
  const { isFinished: finished, progress } = plan;
  const seconds = (Date.now() - startedAt) / 1_000;
  const { rows, pruned } = plan;
  const receipt = { rows, bytes, seconds, position: checkpoint.highest, finished, progress };
  return pruned === undefined ? receipt : { ...receipt, pruned };
}

interface Copy {
  readonly context: StageContext<CopyRow>;
  readonly plan: CopyPlan;
  readonly target: TargetTable;
}

async function copyChunks(deps: Deps, copy: Copy, slice: Slice, options: StageOptions): Promise<void> {
  const { context, plan, target } = copy;
  let batches = 0;
  const report = (inFlight: number, moved: string): SliceProgress => {
    const { waiting, lagSeconds } = plan.state();
    const { progress: chunks } = plan;
    return { stage: context.stage, rows: plan.rows + inFlight, batches, moved, waiting, lagSeconds, copy: chunks };
  };
  const onProgress = (note = ''): void => slice.progress(report(0, note));
  const capture = captureOf(deps, context.table);
  try {
    await plan.prepare(capture, { signal: slice.stopping, onProgress });
  } catch (error) {
    if (slice.stopping.aborted) return;
    throw error;
  }
  const { clickhouse } = deps.sink(target);
  const doubt = async (): Promise<void> => plan.doubt(await readUptime(clickhouse));
  await doubt();
  const { chunks, chunksDone, bytes } = plan.progress;
  if (chunksDone === 0 && !plan.isFinished) deps.log.info({ ...fieldsOf(context), chunks, bytes }, 'copy begins');
  const services = { ...deps, ...deps.sink(target) };
  const writer = (): ClickHouseWriter => new ClickHouseWriter(services, target, { retry: CHUNK_RETRY });
  const readers = Array.from(
    { length: Math.min(deps.settings.worker.copyReaders, plan.chunksLeft) },
    (_, index): StageEnds<ChunkBatch, InsertCopy> => ({
      source: mapContent(new ChunkSource(deps, plan, { isExtra: index > 0, stopping: slice.stopping }), ({ rows }) => ({
        kind: 'copy',
        rows,
      })),
      writer: quarantining<InsertCopy>(deps, context, target, writer()),
    }),
  );
  try {
    // However long it took to begin, a slice moves a chunk: else a copy of short slices would never end.
    const over = new AbortController();
    const end = (): void => (batches > 0 ? over.abort() : undefined);
    slice.ending.addEventListener('abort', end, { once: true });
    const onBatch: StageOptions['onBatch'] = (batch) => {
      batches += 1;
      options.onBatch(batch);
      if (slice.ending.aborted) end();
    };
    const ending = AbortSignal.any([over.signal, slice.stopping]);
    await runReaders({ ...slice, ending }, readers, { ...options, onBatch }, report);
  } catch (error) {
    // It is planned again, and the next slice reads it.
    if (!(error instanceof HeapMoved)) throw error;
    return plan.replan(error.relation);
  }
  if (!plan.isCopied) return;
  if (plan.hidesRows && !(await hasCaughtUp(deps, copy, slice, (doing) => slice.progress(report(0, doing))))) return;
  await using end = new CopyEnd(plan, doubt);
  try {
    // It is named from the beginning, and is no repeat.
    const onBatch: StageOptions['onBatch'] = (batch) => options.onBatch({ ...batch, again: false });
    await runStage(slice, end, new CopyEndWriter(services, target, writer()), { ...options, onBatch });
  } catch (error) {
    if (!(error instanceof ChunksReopened)) throw error;
  }
}

/** Whether the live flow has loaded all that was captured when the last chunk was done. @returns false where the slice ended before */
async function hasCaughtUp(
  deps: Deps,
  { context, plan, target }: Copy,
  slice: Slice,
  say: (doing: string) => void,
): Promise<boolean> {
  const { table, claim } = context;
  const { loader = MAIN_LOADER } = target;
  // The fresh table of a replay or of a resync has no live flow of its own, and no readers yet.
  if (!table.route.loaders.some(({ name }) => name === loader)) return true;
  return awaitFlow(deps, { table, loader, claim, goal: plan.goal }, slice, say);
}

function fieldsOf({ table, stage }: StageContext): object {
  return { table: formatTableName(table.name), pipeline: table.pipeline, stage };
}
