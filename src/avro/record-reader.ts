import type { LineBuffer } from '../pipeline/line-buffer.js';
import type { AvroColumn, AvroType } from './avro-type.js';
import { AvroInput, MalformedRecord } from './input.js';
import { readValueOf, type ReadValue } from './read-value.js';
import { MAGIC, PREFIX_BYTES } from './record-writer.js';

interface Field {
  readonly name: string;
  readonly read: ReadValue;
  /** What stands for null in a row, and in a tombstone. */
  readonly empty: readonly [row: string, tombstone: string];
  readonly refused: string;
}

const NULL = '\\N';
const TAB = 0x09;
const ZERO = 0x30;
const ONE = 0x31;

/** Makes lines of COPY text of records: the lines that the records were written from, as far as ClickHouse sees. */
export class RecordReader {
  readonly #fields: readonly Field[];
  readonly #from = new AvroInput();

  constructor(columns: readonly AvroColumn[]) {
    this.#fields = columns.map(({ name, type, takesNull, absent }) => ({
      name,
      read: readValueOf(type),
      empty: [NULL, takesNull ? NULL : absent],
      refused: markOf(type),
    }));
  }

  /** @throws MalformedRecord for a message that is none of these columns */
  row(message: Buffer, to: LineBuffer): void {
    const from = this.#from;
    from.open(message, PREFIX_BYTES);
    if (message[0] !== MAGIC) throw new MalformedRecord('it is not in the wire format of Confluent');
    const versionLength = from.length();
    const version = from.skip(versionLength);
    const isDeleted = from.byte() !== 0;
    const refused = readNames(from);
    for (const { name, read, empty, refused: mark } of this.#fields) {
      const branch = from.byte();
      if (branch === 2) read(from, to);
      else if (branch !== 0) throw new MalformedRecord('a union in it has no such branch');
      else if (refused?.includes(name) === true) to.text(mark);
      else to.text(empty[isDeleted ? 1 : 0]);
      to.byte(TAB);
    }
    if (!from.isAtEnd) throw new MalformedRecord('it goes on behind its last column');
    to.bytes(message, version, version + versionLength);
    to.byte(TAB);
    to.byte(isDeleted ? ONE : ZERO);
  }
}

/** What ClickHouse refuses to read, as the policy `refuse` has it in COPY text. */
function markOf({ kind }: AvroType): string {
  return kind === 'date' || kind === 'moment' ? 'infinity' : 'NaN';
}

/** @returns undefined for none */
function readNames(from: AvroInput): readonly string[] | undefined {
  let names: string[] | undefined;
  for (let count = from.length(); count > 0; count = from.length())
    for (; count > 0; count -= 1) {
      const length = from.length();
      const start = from.skip(length);
      (names ??= []).push(from.bytes.toString('utf8', start, start + length));
    }
  return names;
}

/** The version of a record of ours, whatever its schema: it comes first. @returns undefined for a message that is none */
export function versionOfRecord(message: Buffer): bigint | undefined {
  if (message[0] !== MAGIC || message.length <= PREFIX_BYTES) return undefined;
  const from = new AvroInput();
  from.open(message, PREFIX_BYTES);
  const length = from.length();
  const start = from.skip(length);
  const text = message.toString('latin1', start, start + length);
  return /^\d{1,39}$/u.test(text) ? BigInt(text) : undefined;
}
