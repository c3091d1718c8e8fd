import type { MessagePlace } from '../domain/batch.js';

const FIELDS = 3;

/** Where the values of a batch come from. One entry for each run of consecutive messages, so as a rule one for each partition. */
export class MessagePlaces {
  /** Of each run: its partition, its first offset, the index of its first value. */
  readonly #runs: number[] = [];
  #partition = -1;
  #next = -1;

  /** @param value its index: one more with each call */
  add(partition: number, offset: number, value: number): void {
    if (partition !== this.#partition || offset !== this.#next) this.#runs.push(partition, offset, value);
    this.#partition = partition;
    this.#next = offset + 1;
  }

  /** @throws RangeError for a value that was not added */
  at(value: number): MessagePlace {
    for (let run = this.#runs.length - FIELDS; run >= 0; run -= FIELDS) {
      const [partition = 0, offset = 0, first = 0] = this.#runs.slice(run, run + FIELDS);
      if (first <= value) return { partition, offset: offset + value - first };
    }
    throw new RangeError(`the batch has no value ${value}`);
  }
}
