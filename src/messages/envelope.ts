import type { Change, Span } from '../domain/change.js';
import { DELETION_ENVELOPE } from '../domain/envelope.js';
import { copyInto, grow } from '../kafka/protocol/bytes.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import { NO_HEADERS, type Emit, type EncoderOptions, type MessageEncoder, type MessageOrigin } from './encoder.js';

/** What a TRUNCATE begins with, up to the JSON of its mark. */
const TRUNCATED = spanOf('{"before":null,"after":null,"source":');
/** Where a row has the `n` of `null`, and a deletion the brace of its key. */
const OPENS_AT = DELETION_ENVELOPE.length;
const BRACE = 0x7b;
const FIRST_BYTES = 16 * 1024;

/**
 * One row a message, in Debezium's envelope. The values of changes are the beginnings of the envelopes, up to the version
 * (`src/source/outbox/envelope-sql.ts`). A deletion is followed by a message without a value, for Kafka's compaction.
 *
 * `op` is `r`, a row that was read, which is what it is: an upsert. `u` would need the row of before, without which Flink stops; `c` would
 * say of an update that it is an insert. Of a table that only grows it is `c`.
 */
export class EnvelopeEncoder implements MessageEncoder {
  readonly #partitions: number;
  /** What follows the version, by operation: the same for all messages of a batch. */
  readonly #row: Span;
  readonly #deleted: Span;
  readonly #truncated: Span;
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;

  constructor({ partitions, from }: EncoderOptions) {
    if (from === undefined) throw new TypeError('an envelope says where its row comes from');
    this.#partitions = partitions;
    const now = Date.now();
    const source = sourceOf(from);
    const ending = (op: string): Span =>
      spanOf(`,"ts_ms":${now}${source}},"transaction":null,"op":"${op}","ts_ms":${now}}`);
    this.#row = ending(from.appendOnly ? 'c' : 'r');
    this.#deleted = ending('d');
    this.#truncated = ending('t');
  }

  add({ kind, key, value, seq }: Change, emit: Emit): void {
    this.#end = 0;
    if (kind === 'truncate') {
      this.#append(TRUNCATED);
      // Without the brace that closes it.
      this.#append({ bytes: value.bytes, start: value.start, end: value.end - 1 });
      this.#append(this.#truncated);
      emit({ partition: 0, key: null, value: this.#value(), rows: 0, highest: seq, kind, headers: NO_HEADERS });
      return;
    }
    const isDeleted = value.bytes[value.start + OPENS_AT] === BRACE;
    this.#append(value);
    this.#append(isDeleted ? this.#deleted : this.#row);
    const partition = partitionOf(key, this.#partitions);
    emit({ partition, key, value: this.#value(), rows: 1, highest: seq, kind: 'envelope', headers: NO_HEADERS });
    if (isDeleted) emit({ partition, key, value: null, rows: 0, highest: seq, kind: 'tombstone', headers: NO_HEADERS });
  }

  end(): void {
    // Every change was emitted when it was added.
  }

  #append(part: Span): void {
    this.#bytes = grow(this.#bytes, this.#end, part.end - part.start);
    this.#end = copyInto(this.#bytes, this.#end, part);
  }

  #value(): Span {
    return { bytes: this.#bytes, start: 0, end: this.#end };
  }
}

function spanOf(text: string): Span {
  const bytes = Buffer.from(text);
  return { bytes, start: 0, end: bytes.length };
}

/** The fields of `source` that are the same in all messages, each with a comma before it. `txId`, `lsn` and `xmin` are not known. */
function sourceOf({ pipeline, database, schema, table }: MessageOrigin): string {
  const fields = {
    version: 'pg2click',
    connector: 'postgresql',
    name: pipeline,
    snapshot: 'false',
    db: database,
    sequence: null,
    schema,
    table,
    txId: null,
    lsn: null,
    xmin: null,
  };
  return `,${JSON.stringify(fields).slice(1, -1)}`;
}
