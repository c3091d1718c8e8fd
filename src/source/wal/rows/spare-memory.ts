import { TupleMemory } from './tuple-batch.js';

const MOST = 2;

/** Memory of batches that were confirmed. Of a reader, whose tables share it. */
export class SpareMemory {
  readonly #spares: TupleMemory[] = [];

  take(): TupleMemory {
    return this.#spares.pop() ?? new TupleMemory();
  }

  keep(memory: TupleMemory): void {
    if (this.#spares.length < MOST) this.#spares.push(memory);
  }
}
