import type { Change } from '../domain/change.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import { encodeTruncate, NO_HEADERS, type Emit, type EncoderOptions, type MessageEncoder } from './encoder.js';

/** One row a message, under the row's key: any other consumer reads it as it is. */
export class JsonEncoder implements MessageEncoder {
  readonly #partitions: number;

  constructor({ partitions }: EncoderOptions) {
    this.#partitions = partitions;
  }

  add(change: Change, emit: Emit): void {
    if (change.kind === 'truncate') return emit(encodeTruncate(change));
    emit({
      partition: partitionOf(change.key, this.#partitions),
      key: change.key,
      value: change.value,
      rows: 1,
      highest: change.seq,
      kind: 'rows',
      headers: NO_HEADERS,
    });
  }

  end(): void {
    // Every change was emitted when it was added.
  }
}
