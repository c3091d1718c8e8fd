import type { OffsetRange } from '../domain/batch.js';

/** Partitions that a display names. */
const NAMED = 3;

/** Which offsets a slice has moved, partition by partition: those of one mean nothing in another. */
export class MovedOffsets {
  readonly #ranges = new Map<string, OffsetRange>();

  /** @param ranges by partition: those of a batch, after the batch before */
  add(ranges: Readonly<Record<string, OffsetRange>>): void {
    for (const [partition, { first, last }] of Object.entries(ranges))
      this.#ranges.set(partition, { first: this.#ranges.get(partition)?.first ?? first, last });
  }

  /** `offset 3..9` of the only one; `offset 3..9 of partition 0, 1..2 of 1, and 4 more partitions`; '' for none */
  toString(): string {
    const ranges = [...this.#ranges].toSorted(([a], [b]) => Number(a) - Number(b));
    const [only, other] = ranges;
    if (only === undefined) return '';
    if (other === undefined) return `offset ${rangeText(only[1])}`;
    const named = ranges
      .slice(0, NAMED)
      .map(([partition, range], index) => `${rangeText(range)} of ${index === 0 ? 'partition ' : ''}${partition}`);
    const more = ranges.length - named.length;
    return `offset ${named.join(', ')}${more > 0 ? `, and ${more} more partition${more === 1 ? '' : 's'}` : ''}`;
  }
}

const rangeText = ({ first, last }: OffsetRange): string => `${first}..${last}`;
