import { RecordWriter } from '../avro/record-writer.js';
import type { Change } from '../domain/change.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import { encodeTruncate, NO_HEADERS, type Emit, type EncoderOptions, type MessageEncoder } from './encoder.js';

/** One row a message, as an Avro record in the wire format of Confluent. The key is that of JSON messages. */
export class AvroEncoder implements MessageEncoder {
  readonly #partitions: number;
  readonly #records: RecordWriter;

  /** @throws Error without a schema: who asks for this format has registered one */
  constructor({ partitions, avro }: EncoderOptions) {
    if (avro === undefined) throw new Error('messages in Avro need a schema');
    this.#partitions = partitions;
    this.#records = new RecordWriter(avro.schemaId, avro.columns);
  }

  add(change: Change, emit: Emit): void {
    const { kind, key, value, seq } = change;
    if (kind === 'truncate')
      return emit({ ...encodeTruncate(change), value: this.#records.truncate(versionIn(change)) });
    emit({
      partition: partitionOf(key, this.#partitions),
      key,
      value: this.#records.row(value),
      rows: 1,
      highest: seq,
      kind: 'rows',
      headers: NO_HEADERS,
    });
  }

  end(): void {
    // Every change was emitted when it was added.
  }
}

/** Of a TRUNCATE mark, which is JSON whatever the format. */
function versionIn({ value: { bytes, start, end } }: Change): string {
  const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
  const version = /"_version"\s*:\s*"?(\d{1,39})"?/u.exec(text)?.[1];
  if (version === undefined) throw new Error('a TRUNCATE mark has no version');
  return version;
}
