import type { Change } from '../domain/change.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import { encodeTruncate, NO_HEADERS, type Emit, type EncoderOptions, type MessageEncoder } from './encoder.js';
import type { MessageKind } from './header.js';

/** One row a message, or its key alone, under the row's key: any other consumer reads it as it is. */
export class JsonEncoder implements MessageEncoder {
  readonly #partitions: number;
  readonly #kind: MessageKind;

  constructor({ partitions, payload }: EncoderOptions) {
    this.#partitions = partitions;
    this.#kind = payload === 'key' ? 'key' : 'rows';
  }

  add(change: Change, emit: Emit): void {
    if (change.kind === 'truncate') return emit(encodeTruncate(change));
    emit({
      partition: partitionOf(change.key, this.#partitions),
      key: change.key,
      value: change.value,
      rows: 1,
      highest: change.seq,
      kind: this.#kind,
      headers: NO_HEADERS,
    });
  }

  end(): void {
    // Every change was emitted when it was added.
  }
}
