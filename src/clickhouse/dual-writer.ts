import type { BatchName } from '../domain/batch.js';
import type { Checkpoint } from '../domain/receipt.js';
import { Failure } from '../failure/failure.js';
import type { BatchWriter, RereadOptions, Written } from '../pipeline/batch.js';
import type { RetryPolicy } from '../pipeline/retry.js';

/** The two tables of a resync. */
export interface DualTargets<Content> {
  readonly live: BatchWriter<Content>;
  readonly shadow: BatchWriter<Content>;
  /** Whether one of the tables has another name now than when the writers were opened. */
  readonly hasMoved: () => Promise<boolean>;
}

/**
 * Writes every batch to the shadow and then to the live table. A batch is confirmed only after both, so the shadow has every change that
 * came after the resync began. In this order: if the tables are exchanged between the two inserts, one of them reaches the new live table.
 *
 * When the shadow takes the place of the live table, a name that was right becomes wrong in the middle of a slice. Such a failure is
 * reported as `Fenced`: the next attempt looks again where the tables are.
 */
export class DualWriter<Content extends object> implements BatchWriter<Content> {
  readonly retry: RetryPolicy;
  readonly #targets: DualTargets<Content>;

  constructor(targets: DualTargets<Content>) {
    this.#targets = targets;
    this.retry = targets.live.retry;
  }

  verify(checkpoint: Checkpoint, proof: unknown): Promise<unknown> {
    const { live, shadow } = this.#targets;
    return this.#unlessMoved(async () => {
      // What the shadow must hold is what its copy has confirmed, which it finds by itself.
      await shadow.verify({ ...checkpoint, highest: '0' }, undefined);
      return live.verify(checkpoint, proof);
    });
  }

  write(name: BatchName, content: Content, options: RereadOptions<Content>): Promise<Written> {
    const { live, shadow } = this.#targets;
    return this.#unlessMoved(async () => {
      await shadow.write(name, content, options);
      // Rows in memory can be sent twice. A stream has ended.
      return live.write(name, 'values' in content ? content : await options.readAgain(), options);
    });
  }

  rest(written: Written, tookMs: number, signal: AbortSignal): Promise<void> {
    return this.#targets.live.rest(written, tookMs, signal);
  }

  async #unlessMoved<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isLost = error instanceof Failure && (error.kind === 'SinkSetBack' || error.kind === 'SchemaMismatch');
      if (!isLost || !(await this.#targets.hasMoved())) throw error;
      throw new Failure('Fenced', {
        message: 'A table that a resync has filled takes the place of the live one.',
        cause: error,
      });
    }
  }
}
