import type { KafkaTransport, MessageFormat } from '../domain/route.js';
import { AvroEncoder } from './avro.js';
import type { EncoderOptions, MessageEncoder } from './encoder.js';
import { EnvelopeEncoder } from './envelope.js';
import { JsonEncoder } from './json.js';
import { PackedEncoder } from './packed.js';

/** What a message format needs to be written; reading follows the headers of the messages. */
interface FormatSpec {
  /** What the values of changes have to be: see `RowContent`. */
  readonly rows: 'json' | 'text' | 'envelope';
  /** Messages have the key of their row. */
  readonly keyed: boolean;
  readonly Encoder: new (options: EncoderOptions) => MessageEncoder;
}

/** Every message format. A new one is a file here, a line in this table, and its name in the domain. */
export const FORMATS: Readonly<Record<MessageFormat, FormatSpec>> = {
  json: { rows: 'json', keyed: true, Encoder: JsonEncoder },
  packed: { rows: 'text', keyed: false, Encoder: PackedEncoder },
  avro: { rows: 'text', keyed: true, Encoder: AvroEncoder },
  debezium: { rows: 'envelope', keyed: true, Encoder: EnvelopeEncoder },
};

/** What rows have to be for a topic: `key` is false where no message has one, and there is no partition to choose. */
export function rowContentOf({
  format,
  partitions,
  payload,
}: Pick<KafkaTransport, 'format' | 'partitions' | 'payload'>): {
  readonly rows: 'json' | 'text' | 'keys' | 'envelope';
  readonly key: boolean;
} {
  if (payload === 'key') return { rows: 'keys', key: true };
  const { rows, keyed } = FORMATS[format];
  return { rows, key: keyed || partitions > 1 };
}
