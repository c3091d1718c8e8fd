import { DELETED_COLUMN, VERSION_COLUMN } from '../domain/column-type.js';
import { shownName, type Column, type ReplicatedTable } from '../domain/replicated-table.js';
import { columnReader, type ColumnReader } from './column-reader.js';
import type { JsonObject } from './json-object.js';
import type { LineBuffer } from '../pipeline/line-buffer.js';
import { ForeignMessage, type DebeziumMessage } from './message.js';
import type { StructSchema } from './semantic-type.js';

/** A column, and how it is found and read in the messages of one schema. */
interface Field {
  readonly column: Column;
  /** Its name in the messages: that in PostgreSQL. */
  readonly name: Buffer;
  /** `"shown":`, the name under which ClickHouse gets it. */
  readonly label: string;
  readonly reader: ColumnReader;
}

/** Fields of messages that are no columns of the table as the ledger has it. */
export class UnknownColumns extends Error {
  readonly names: readonly string[];

  constructor(names: readonly string[]) {
    super(`unknown columns: ${names.join(', ')}`);
    this.names = names;
  }
}

export interface RowWriterOptions {
  /** Fields that were columns once, or are left out; undefined: all that are no columns. */
  readonly ignored: ReadonlySet<string> | undefined;
  /** Columns with a default, which a message without a schema does not name. */
  readonly defaulted: ReadonlySet<string>;
}

/** Writes rows of messages as the JSON lines that ClickHouse reads. */
export class RowWriter {
  readonly #table: ReplicatedTable;
  readonly #ignored: ReadonlySet<string> | undefined;
  readonly #defaulted: ReadonlySet<string>;
  #fields: readonly Field[] | undefined;
  #schema: StructSchema | undefined;
  #keys: readonly Field[] | undefined;
  #keySchema: StructSchema | undefined;

  constructor(table: ReplicatedTable, { ignored, defaulted }: RowWriterOptions) {
    this.#table = table;
    this.#ignored = ignored;
    this.#defaulted = defaulted;
  }

  /**
   * A row with all its columns.
   * @returns false where the message lacks an exact value: then the row is to be read by its key
   * @throws UnknownColumns; ForeignMessage where the key of the message is another one
   */
  row(message: DebeziumMessage, version: string, out: LineBuffer): boolean {
    const { row, rowSchema, added } = message;
    this.#requireKey(message);
    const fields = this.#fieldsOf(rowSchema);
    let isWhole = true;
    let seen = 0;
    out.text('{');
    for (const [index, field] of fields.entries()) {
      const at = row.find(field.name, index);
      if (at >= 0) seen += 1;
      isWhole = isWhole && at >= 0 && writeField(row, at, field, out);
    }
    // Each column was found: what is left is none of them.
    if (row.count > seen && this.#ignored !== undefined) this.#refuseUnknown(row, added);
    if (!isWhole) {
      out.drop();
      return false;
    }
    out.text(`"${VERSION_COLUMN}":"${version}","${DELETED_COLUMN}":0}`);
    return true;
  }

  /** @throws ForeignMessage where the key of the message is another one, or does not hold the exact values */
  tombstone(message: DebeziumMessage, version: string, out: LineBuffer): void {
    this.#writeKey(message, out);
    out.text(`"${VERSION_COLUMN}":"${version}","${DELETED_COLUMN}":1}`);
  }

  /** The key alone, as messages of keys have it. @throws ForeignMessage as `tombstone` */
  keyAlone(message: DebeziumMessage, version: string, out: LineBuffer): void {
    this.#writeKey(message, out);
    out.text(`"${VERSION_COLUMN}":"${version}"}`);
  }

  #writeKey(message: DebeziumMessage, out: LineBuffer): void {
    const { key } = message;
    this.#requireKey(message);
    out.text('{');
    for (const [index, field] of this.#keysOf(message.keySchema).entries())
      if (!writeField(key, key.find(field.name, index), field, out))
        throw new ForeignMessage(`its key does not hold the exact value of ${field.column.name}`);
  }

  /** Messages of one key of the table must have one key: else they are in no order. */
  #requireKey({ key, keySchema }: DebeziumMessage): void {
    const fields = this.#keysOf(keySchema);
    let found = 0;
    for (const [index, field] of fields.entries()) if (key.find(field.name, index) >= 0) found += 1;
    if (found !== fields.length || key.count !== found) throw this.#otherKey();
  }

  #otherKey(): ForeignMessage {
    return new ForeignMessage(`its key is not ${this.#table.key.join(', ')}, the key of the table`);
  }

  #refuseUnknown(row: JsonObject, added: RegExp | undefined): void {
    const names: string[] = [];
    for (let field = 0; field < row.count; field++) {
      const name = row.nameOf(field);
      if (this.#ignored?.has(name) === true || added?.test(name) === true) continue;
      if (!this.#table.columns.some((column) => column.name === name)) names.push(name);
    }
    if (names.length > 0) throw new UnknownColumns(names);
  }

  #fieldsOf(schema: StructSchema | undefined): readonly Field[] {
    if (this.#fields !== undefined && schema === this.#schema) return this.#fields;
    this.#schema = schema;
    return (this.#fields = this.#table.columns.map((column) => fieldOf(column, schema, this.#defaulted)));
  }

  #keysOf(schema: StructSchema | undefined): readonly Field[] {
    if (this.#keys !== undefined && schema === this.#keySchema) return this.#keys;
    this.#keySchema = schema;
    const columns = this.#table.key.flatMap((name) => this.#table.columns.filter((column) => column.name === name));
    return (this.#keys = columns.map((column) => fieldOf(column, schema, this.#defaulted)));
  }
}

function fieldOf(column: Column, schema: StructSchema | undefined, defaulted: ReadonlySet<string>): Field {
  return {
    column,
    name: Buffer.from(JSON.stringify(column.name).slice(1, -1)),
    label: `${JSON.stringify(shownName(column))}:`,
    reader: columnReader(column, schema?.get(column.name), { hasDefault: defaulted.has(column.name) }),
  };
}

function writeField(row: JsonObject, at: number, { column, label, reader }: Field, out: LineBuffer): boolean {
  out.text(label);
  if (row.isNull(at)) {
    if (!column.nullable || !reader.trustsNull) return false;
    out.text('null,');
    return true;
  }
  if (!reader.value(row.bytes, row.startOf(at), row.endOf(at), out)) return false;
  out.text(',');
  return true;
}
