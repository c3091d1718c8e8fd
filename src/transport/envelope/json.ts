import type { Change } from '../../domain/change.js';
import { partitionOf } from '../partition.js';
import { sealMark, type Envelope, type Give } from './envelope.js';

/** One row a message, under the row's key: what any other consumer reads as it is. */
export class JsonEnvelope implements Envelope {
  readonly #partitions: number;

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  add(change: Change, give: Give): void {
    if (change.kind === 'truncate') return give(sealMark(change));
    give({
      partition: partitionOf(change.key, this.#partitions),
      key: change.key,
      value: change.value,
      rows: 1,
      highest: change.seq,
      kind: 'rows',
    });
  }

  end(): void {
    // Nothing is held back.
  }
}
