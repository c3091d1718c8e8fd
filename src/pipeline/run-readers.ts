import type { BatchName } from '../domain/batch.js';
import type { SliceProgress } from '../domain/receipt.js';
import type { BatchSource, BatchWriter } from './batch.js';
import { runStage, type StageOptions } from './run-stage.js';
import type { Slice } from './slice.js';

/** The two ends of a stage. */
export interface StageEnds<Name extends BatchName, Content> {
  readonly source: BatchSource<Name, Content>;
  readonly writer: BatchWriter<Content>;
}

/**
 * Several loops of one stage at once, each with ends of its own. Where one of them fails, the others end after the batch in hand.
 * @param report what is shown for all of them: gets the rows that they have in flight together, and what the last one reported
 * @throws what the first one threw
 */
export async function runReaders<Name extends BatchName, Content>(
  slice: Slice,
  readers: readonly StageEnds<Name, Content>[],
  options: StageOptions,
  report: (inFlight: number, moved: string) => SliceProgress,
): Promise<void> {
  const failed = new AbortController();
  const failures: unknown[] = [];
  const inFlight = readers.map(() => 0);
  const run = async ({ source, writer }: StageEnds<Name, Content>, index: number): Promise<void> => {
    await using opened = source;
    const confirmed = { rows: 0 };
    const own: Slice = {
      ...slice,
      ending: AbortSignal.any([slice.ending, failed.signal]),
      progress: ({ rows, moved }) => {
        inFlight[index] = rows - confirmed.rows;
        slice.progress(
          report(
            inFlight.reduce((sum, each) => sum + each, 0),
            moved,
          ),
        );
      },
    };
    try {
      await runStage(own, opened, writer, {
        ...options,
        onBatch: (batch) => {
          confirmed.rows += batch.rows;
          inFlight[index] = 0;
          options.onBatch(batch);
        },
      });
    } catch (error) {
      failures.push(error);
      failed.abort();
    }
  };
  await Promise.all(readers.map(run));
  if (failures.length > 0) throw failures[0];
}
