import { byPosition, columnType, DELETED_COLUMN, VERSION_COLUMN } from '../domain/column-type.js';
import { shownName, type Column } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import { base64, type ValueReader } from './column-reader.js';
import { JsonObject, NotAnObject } from './json-object.js';
import { LineBuffer } from '../pipeline/line-buffer.js';
import { readDate, readMicros, readTime, readZoned } from './moments.js';

const BEFORE = Buffer.from('before');
const AFTER = Buffer.from('after');
const SOURCE = Buffer.from('source');
const VERSION = Buffer.from(VERSION_COLUMN);
/** ClickHouse refuses it for every type that such a value is read as: the row is set aside, as one of the format `json` is. */
const REFUSED = '"infinity"';

/** By the type in PostgreSQL: those that `columnType` writes otherwise than in the format `json`. */
const READERS: Readonly<Record<string, ValueReader>> = {
  date: readDate,
  'timestamp without time zone': readMicros,
  'timestamp with time zone': readZoned,
  'time without time zone': readTime(1n),
  bytea: base64,
};

interface OwnField {
  readonly name: Buffer;
  /** Undefined where the value is written as in the format `json`. */
  readonly value: ValueReader | undefined;
}

/** Reads messages of the format `debezium`, which this program has written: to the lines that those of the format `json` are. */
export class EnvelopeReader {
  /** In the order of a row. */
  readonly #fields: readonly OwnField[];
  readonly #isPlain: boolean;
  readonly #message = new JsonObject();
  readonly #row = new JsonObject();
  readonly #source = new JsonObject();
  readonly #lines = new LineBuffer();

  /** @param columns of the table when the messages were written */
  constructor(columns: readonly Column[]) {
    this.#fields = byPosition(columns).map((column) => ({
      name: Buffer.from(JSON.stringify(shownName(column)).slice(1, -1)),
      value: columnType(column).debezium === undefined ? undefined : READERS[column.type],
    }));
    this.#isPlain = this.#fields.every(({ value }) => value === undefined);
  }

  /** @returns a line of JSONEachRow. @throws Failure `Unexpected` for what is no envelope */
  line(bytes: Buffer): Buffer {
    try {
      return this.#read(bytes);
    } catch (error) {
      if (!(error instanceof NotAnObject)) throw error;
      throw new Failure('Unexpected', {
        message: 'A message has the header of an envelope of pg2click, and its value is none.',
      });
    }
  }

  #read(bytes: Buffer): Buffer {
    const message = this.#message;
    message.read(bytes, 0, bytes.length);
    const after = message.find(AFTER, 1);
    const source = message.find(SOURCE, 2);
    const isDeleted = !message.isObject(after);
    const row = isDeleted ? message.find(BEFORE, 0) : after;
    if (!message.isObject(row) || !message.isObject(source)) throw new NotAnObject();
    this.#source.read(bytes, message.startOf(source), message.endOf(source));
    const version = this.#source.find(VERSION, 0);
    if (version < 0) throw new NotAnObject();
    const lines = this.#lines;
    this.#writeRow(bytes, message.startOf(row), message.endOf(row));
    lines.text(`,"${VERSION_COLUMN}":`);
    lines.bytes(bytes, this.#source.startOf(version), this.#source.endOf(version));
    lines.text(isDeleted ? `,"${DELETED_COLUMN}":1}` : `,"${DELETED_COLUMN}":0}`);
    return lines.take();
  }

  /** Without its last brace. What is between two values that are written otherwise is copied as it is. */
  #writeRow(bytes: Buffer, start: number, end: number): void {
    const row = this.#row;
    let from = start;
    if (this.#isPlain) row.count = 0;
    else row.read(bytes, start, end);
    for (let field = 0; field < row.count; field++) {
      const value = this.#readerOf(row, field);
      if (value === undefined || row.isNull(field)) continue;
      const at = row.startOf(field);
      this.#lines.bytes(bytes, from, at);
      from = row.endOf(field);
      if (!value(bytes, at, from, this.#lines)) this.#lines.text(REFUSED);
    }
    this.#lines.bytes(bytes, from, end - 1);
  }

  #readerOf(row: JsonObject, field: number): ValueReader | undefined {
    const here = this.#fields[field];
    if (here !== undefined && row.isNamed(field, here.name)) return here.value;
    // The key of a deletion.
    return this.#fields.find(({ name }) => row.isNamed(field, name))?.value;
  }
}
