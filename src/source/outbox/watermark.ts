import type { OutboxBatch } from '../../domain/batch.js';

/**
 * Up to where the positions of an outbox are accounted for: each was read and confirmed, or can never appear. Beyond it a drawn
 * position may be an event that commits late, one that was rolled back, or a copy's; only looking again tells.
 */
export class OutboxWatermark {
  #drawn: bigint;
  #accounted: bigint;

  /** @param drawn last `seq` drawn; @param lowWater nothing at or below it can appear any more. Decimal */
  constructor(drawn: string, lowWater: string) {
    this.#drawn = BigInt(drawn);
    this.#accounted = BigInt(lowWater);
  }

  get allocated(): bigint {
    return this.#drawn;
  }

  /** Nothing can appear until another position is drawn. */
  get isCaughtUp(): boolean {
    return this.#accounted >= this.#drawn;
  }

  advance(drawn: string, lowWater: string): void {
    this.#drawn = later(this.#drawn, BigInt(drawn));
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
