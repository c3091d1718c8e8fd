import type { OutboxBatch } from '../../domain/batch.js';

/**
 * Up to where the positions of an outbox are accounted for: each was read and confirmed, or can never appear. Beyond it an
 * allocated position may be an event that commits late, one that was rolled back, or a copy's; only looking again tells.
 */
export class OutboxWatermark {
  #allocated: bigint;
  #accounted: bigint;

  /** @param allocated the last `seq`; @param lowWater nothing at or below it can appear any more. Decimal */
  constructor(allocated: string, lowWater: string) {
    this.#allocated = BigInt(allocated);
    this.#accounted = BigInt(lowWater);
  }

  get allocated(): bigint {
    return this.#allocated;
  }

  /** Nothing can appear until another position is allocated. */
  get isCaughtUp(): boolean {
    return this.#accounted >= this.#allocated;
  }

  advance(allocated: string, lowWater: string): void {
    this.#allocated = later(this.#allocated, BigInt(allocated));
    this.#accounted = later(this.#accounted, BigInt(lowWater));
  }

  /** A batch was confirmed, of so many events. As many as positions: then none of them is still to come. */
  confirmed({ first, last }: Pick<OutboxBatch, 'first' | 'last'>, events: number): void {
    const [from, to] = [BigInt(first), BigInt(last)];
    if (from <= this.#accounted + 1n && to - from + 1n === BigInt(events)) this.#accounted = later(this.#accounted, to);
  }
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
