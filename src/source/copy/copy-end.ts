import type { CopyBatch } from '../../domain/batch.js';
import type { Version } from '../../domain/version.js';
import type { BatchSource, SourceState, Written } from '../../pipeline/batch.js';
import type { CopyPlan, Prune } from './copy-plan.js';

/** What the target has to know when all chunks are in it: see `CopyPlan.floor`. */
export interface CopyEndContent {
  readonly floor: Version | undefined;
  /** See `CopyPlan.prune`. */
  readonly prune: Prune | undefined;
}

/** Chunks are to be read again: the copy has not ended. */
export class ChunksReopened extends Error {}

/** The last batch of a copy, which has no rows: it confirms the copy as a whole. */
export class CopyEnd implements BatchSource<CopyBatch, CopyEndContent> {
  readonly pending: CopyBatch;
  readonly #plan: CopyPlan;
  readonly #doubt: () => Promise<void>;

  /** @param doubt opens chunks again that the target's server may have lost: see `CopyPlan.doubt` */
  constructor(plan: CopyPlan, doubt: () => Promise<void>) {
    this.#plan = plan;
    this.#doubt = doubt;
    this.pending = plan.name;
  }

  get isFinished(): boolean {
    return this.#plan.isFinished;
  }

  verify(): Promise<void> {
    return Promise.resolve();
  }

  nameNext(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** @throws ChunksReopened */
  async read(): Promise<CopyEndContent> {
    await this.#requireAll();
    await this.#plan.ensureFlushed();
    return { floor: this.#plan.floor, prune: this.#plan.prune };
  }

  async confirm(_name: CopyBatch, { proof, rows }: Written): Promise<undefined> {
    await this.#requireAll();
    await this.#plan.finish(proof, rows);
    return undefined;
  }

  async #requireAll(): Promise<void> {
    await this.#doubt();
    if (!this.#plan.isCopied) throw new ChunksReopened();
  }

  state(): SourceState {
    return this.#plan.state();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
