import type { AvroColumn } from '../avro/avro-type.js';
import type { Change, Span } from '../domain/change.js';
import type { Payload } from '../domain/route.js';
import type { RecordHeader } from '../kafka/protocol/record-batch-writer.js';
import type { MessageKind } from './header.js';

/** A message that is complete but for its place in the batch. Its bytes are valid until `emit` returns. */
export interface EncodedMessage {
  readonly partition: number;
  readonly key: Span | null;
  /** Null: a message without a value, which says that its key is gone. */
  readonly value: Span | null;
  readonly rows: number;
  /** Highest `seq` in it, in decimal digits. */
  readonly highest: Span;
  readonly kind: MessageKind;
  /** Headers beside the one that every message has. */
  readonly headers: readonly RecordHeader[];
}

export type Emit = (message: EncodedMessage) => void;

/** How changes become messages. Messages of one partition are emitted in the order of their changes. */
export interface MessageEncoder {
  /** Takes a change, and emits the messages that it completes. */
  add(change: Change, emit: Emit): void;
  /** Emits what is left. */
  end(emit: Emit): void;
}

export interface EncoderOptions {
  readonly partitions: number;
  /** The columns of the values where these are COPY text, in their order; absent where they are JSON. */
  readonly columns?: readonly string[] | undefined;
  /** Of messages in Avro. */
  readonly avro?: AvroForm | undefined;
  /** What the values of changes are; `row` when absent. */
  readonly payload?: Payload | undefined;
  /** Where the rows come from, as messages say it that do. */
  readonly from?: MessageOrigin | undefined;
}

/** The table of the messages, for other readers. */
export interface MessageOrigin {
  /** Of the pipeline. */
  readonly pipeline: string;
  /** In PostgreSQL. */
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  /** Columns of its key, to name where a row is refused; absent where nobody asks. */
  readonly key?: readonly string[] | undefined;
  /** Every row was inserted, and is never changed. */
  readonly appendOnly: boolean;
}

/** What records in Avro are written by. */
export interface AvroForm {
  /** That the registry has given to the schema. */
  readonly schemaId: number;
  readonly columns: readonly AvroColumn[];
}

export const NO_HEADERS: readonly RecordHeader[] = [];

/** A TRUNCATE marker is a message of its own, in partition 0: it is about the table, not about a key. */
export function encodeTruncate(marker: Change): EncodedMessage {
  return {
    partition: 0,
    key: null,
    value: marker.value,
    rows: 0,
    highest: marker.seq,
    kind: 'truncate',
    headers: NO_HEADERS,
  };
}
