import type { BatchName } from '../domain/batch.js';
import type { SliceProgress } from '../domain/receipt.js';
import type { BatchSource, BatchWriter, Written } from './batch.js';
import { retryTransient } from './retry.js';
import type { Slice } from './slice.js';

/** What a slice of a stage moved. */
export interface StageTotals {
  readonly batches: number;
  readonly rows: number;
  readonly bytes: number;
}

/** A batch that was confirmed, as the metrics count it. */
export interface StageBatch extends Written {
  /** The time for reading and writing it. */
  readonly durationMs: number;
  /** An earlier attempt had named it, and may have written it. */
  readonly again: boolean;
}

export interface StageOptions {
  readonly stage: string;
  /** As the ledger had it when the stage was claimed. */
  readonly proof: unknown;
  /** How often both ends are verified while nothing moves, milliseconds. */
  readonly verifyEveryMs: number;
  /** Asked while nothing moves: whether something was changed that both ends should look at now. Absent: never. */
  readonly isChanged?: () => Promise<boolean>;
  readonly onBatch: (batch: StageBatch) => void;
}

/**
 * The loop of every stage: it names a batch, reads it, writes it and confirms it, and waits if there is none.
 *
 * Its invariant: a batch is written only after its name is in the ledger, and confirmed only after it is written. So a crash at
 * any point leaves at most one named batch, which the next attempt writes again. The loop ends when the slice is ending and no
 * batch is in hand, or when the source is finished.
 * @throws what source and writer throw; the slice's signal's reason
 */
export async function runStage<Name extends BatchName, Content>(
  slice: Slice,
  source: BatchSource<Name, Content>,
  writer: BatchWriter<Content>,
  options: StageOptions,
): Promise<StageTotals> {
  const { pending } = source;
  let totals: StageTotals = { batches: 0, rows: 0, bytes: 0 };
  let proof = options.proof;
  let verifiedAt = 0;

  const report = (note?: string, inFlight = 0): void => {
    const { moved, waiting, lagSeconds } = source.state();
    const { batches, rows } = totals;
    const progress = {
      stage: options.stage,
      rows: rows + inFlight,
      batches,
      moved: note ?? moved,
      waiting,
      lagSeconds,
    };
    slice.progress(progress satisfies SliceProgress);
  };
  const verifyWriter = async (): Promise<void> => {
    const { checkpoint } = source.state();
    const allocated = source.allocated?.bind(source);
    proof = await writer.verify({ ...checkpoint, allocated }, proof);
  };
  const verify = async (): Promise<void> => {
    await source.verify();
    await retryTransient(slice, verifyWriter, writer.retry);
    verifiedAt = Date.now();
  };
  const move = async (name: Name): Promise<Written> => {
    report();
    return retryTransient(
      slice,
      async (attempt) => {
        // A server that is back may have lost what it had acknowledged and not yet written to its disk.
        if (attempt > 1) await verifyWriter();
        const read = async (): Promise<Content> => source.read(name, { signal: slice.signal, onProgress: report });
        return writer.write(name, await read(), {
          readAgain: read,
          signal: slice.signal,
          attempt: slice.attempt - 1 + attempt,
          again: attempt > 1 || name === pending,
          onProgress: (rows) => report(undefined, rows),
        });
      },
      writer.retry,
    );
  };

  await verify();
  let name = pending;
  while (name !== undefined || !(slice.ending.aborted || source.isFinished)) {
    if (name === undefined) {
      name = await source.nameNext({ signal: slice.ending, onProgress: report });
      // An idle slice lasts ten minutes: changes that no batch announces must be noticed sooner.
      const isDue = Date.now() - verifiedAt > options.verifyEveryMs;
      if (isDue || (name === undefined && (await options.isChanged?.()) === true)) await verify();
      report();
      continue;
    }
    const startedAt = performance.now();
    const written = await move(name);
    const durationMs = performance.now() - startedAt;
    await writer.rest(written, durationMs, slice.ending);
    proof = written.proof ?? proof;
    const confirmed = name;
    name = await source.confirm(confirmed, { ...written, proof }, { nameNext: !slice.ending.aborted });
    totals = {
      batches: totals.batches + 1,
      rows: totals.rows + written.rows,
      bytes: totals.bytes + written.bytes,
    };
    options.onBatch({ ...written, durationMs, again: confirmed === pending });
    report();
  }
  return totals;
}
