import type { Databases } from '../../connect/databases.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { advanceOutbox, type OutboxAdvance } from '../../ledger/outbox.js';
import type { StageRow } from '../../ledger/stages.js';
import type { Written } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import type { OutboxPart } from './look-pace.js';

/** The highest `seq` of the confirmed batches, decimal; absent before the first. */
export interface OutboxPosition {
  readonly last?: string;
  /** Number of a batch of rows in memory that was named, perhaps written in part, and forgotten. */
  readonly forgotten?: number;
}

export type OutboxRow = StageRow<OutboxPosition, OutboxBatch>;

/** A batch that was moved; `events` outbox rows were read for it. */
export interface MovedBatch extends Written {
  readonly name: OutboxBatch;
  readonly events: number;
}

/** How the batches of an outbox are named and confirmed: what the outbox and the ledger have to do together. */
export interface OutboxSteps {
  /**
   * Compares the two, and finishes what an earlier attempt has begun: before anything is read, and then now and then.
   * @throws Failure `LedgerSetBack`, `SourceSetBack`, `OutboxInconsistent`, `Fenced`
   */
  verify(): Promise<void>;
  /**
   * Confirms the batch that was moved, deletes its events, and names the next one.
   * @param moved null to name only; @param limit events in the next batch at most, 0 to confirm only; @param part where they are searched
   * @throws Failure `OutboxInconsistent` when other events than those read are there; `Fenced`
   */
  advance(moved: MovedBatch | null, limit: number, part: OutboxPart): Promise<OutboxAdvance>;
}

export type OpenOutboxSteps = (databases: Databases, stage: StageContext<OutboxRow>) => OutboxSteps;

/** Ledger and outbox in one database: each step is one statement, and the two never disagree. */
export const stepsInOneDatabase: OpenOutboxSteps = ({ ledger }, { claim }) => ({
  verify: () => Promise.resolve(),
  advance(moved, limit, part) {
    if (moved === null) return advanceOutbox(ledger, claim, null, limit, part);
    const { name, events, rows, bytes, proof } = moved;
    return advanceOutbox(ledger, claim, { batch: name.batch, events, rows, bytes, proof }, limit, part);
  },
});
