import { MalformedRecord } from '../avro/input.js';
import { JsonObject, NotAnObject } from './json-object.js';
import type { StructSchema } from './semantic-type.js';
import { ConnectValue } from './value.js';
import type { WriterSchema } from './writer-schema.js';

const BEFORE = Buffer.from('before');
const AFTER = Buffer.from('after');
const SOURCE = Buffer.from('source');
const OP = Buffer.from('op');
const DELETED = Buffer.from('__deleted');
const TXID = Buffer.from('txId');
const SNAPSHOT = Buffer.from('snapshot');
const TABLE = Buffer.from('table');
const DB_SCHEMA = Buffer.from('schema');
/** Of a whole table. An incremental snapshot reads rows between changes, in an order that Debezium keeps. */
const SNAPSHOTS = /^"(?:true|first|first_in_data_collection|last_in_data_collection|last)"$/u;
/** What ExtractNewRecordState adds to a row; `add.fields.prefix` is `__` by default. */
const ADDED = /^__/u;

/** A message that Debezium would not write, or that another connector, or for another table, has written. */
export class ForeignMessage extends Error {}

/** `row`: a row as it was. `deleted`: its key is gone. `truncate`: all rows are. */
export type MessageKind = 'row' | 'deleted' | 'truncate';

/** Which table the messages are of, where they say so. */
export interface MessageTable {
  readonly schema: string;
  readonly table: string;
}

/** Reads one message at a time: what it says is in the fields, until the next one. */
export class DebeziumMessage {
  kind: MessageKind = 'row';
  /** Of a row. */
  row = new JsonObject();
  /** The fields of the row that are none of the table begin so; undefined for none, as in an envelope. */
  added: RegExp | undefined;
  /** Of the fields of `row`; undefined for messages without a schema. */
  rowSchema: StructSchema | undefined;
  keySchema: StructSchema | undefined;
  /** Whether a snapshot saw the row, or it was changed; undefined where the message does not say, and for an incremental snapshot. */
  origin: 'snapshot' | 'change' | undefined;
  /** Number of the transaction, 32 bits; undefined where the message does not say. */
  transaction: number | undefined;
  readonly #value: ConnectValue;
  readonly #keyValue: ConnectValue;
  readonly #source = new JsonObject();
  readonly #after = new JsonObject();
  readonly #table: MessageTable;

  /** @param schemas of messages in Avro, by their ids */
  constructor(table: MessageTable, schemas: ReadonlyMap<number, WriterSchema>) {
    this.#table = table;
    this.#value = new ConnectValue(schemas);
    this.#keyValue = new ConnectValue(schemas);
  }

  /** The key of the message; of an earlier one for a TRUNCATE. */
  get key(): JsonObject {
    return this.#keyValue.object;
  }

  /**
   * @param valueStart negative for a message without a value
   * @throws ForeignMessage; UnknownSchema
   */
  read(bytes: Buffer, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    this.transaction = undefined;
    this.origin = undefined;
    this.added = undefined;
    try {
      const hasKey = keyStart >= 0 && this.#keyValue.read(bytes, keyStart, keyEnd);
      const hasValue = valueStart >= 0 && this.#value.read(bytes, valueStart, valueEnd);
      if (!hasValue) this.kind = 'deleted';
      else if (this.#isEnvelope()) this.#readEnvelope();
      else this.#readFlat();
      if (this.kind === 'truncate') return;
      if (!hasKey) throw new ForeignMessage('it has no key');
      this.keySchema = this.#keyValue.structOf();
    } catch (error) {
      if (error instanceof NotAnObject || error instanceof SyntaxError)
        throw new ForeignMessage('it is neither a JSON object nor a record of Avro');
      if (error instanceof MalformedRecord)
        throw new ForeignMessage(`it is no record of the schema that it names: ${error.message}`);
      throw error;
    }
  }

  #isEnvelope(): boolean {
    const { object } = this.#value;
    return object.isObject(object.find(SOURCE, 2)) && object.find(OP, 4) >= 0;
  }

  #readEnvelope(): void {
    const { object } = this.#value;
    const op = object.textOf(object.find(OP, 4));
    this.#readSource(object.find(SOURCE, 2));
    switch (op) {
      case '"c"':
      case '"u"':
      case '"r"': {
        const after = object.find(AFTER, 1);
        if (!object.isObject(after)) throw new ForeignMessage('it has no row');
        this.kind = 'row';
        this.#after.read(object.bytes, object.startOf(after), object.endOf(after));
        this.row = this.#after;
        this.rowSchema = this.#value.structOf('after');
        return;
      }
      case '"d"':
        if (object.find(BEFORE, 0) < 0) throw new ForeignMessage('it has no "before"');
        this.kind = 'deleted';
        return;
      case '"t"':
        this.kind = 'truncate';
        return;
      default:
        throw new ForeignMessage(`its operation ${op} is none of c, u, r, d and t`);
    }
  }

  /** The topic may hold other tables, or what another connector writes. */
  #readSource(field: number): void {
    const { object } = this.#value;
    const source = this.#source;
    source.read(object.bytes, object.startOf(field), object.endOf(field));
    const schema = source.find(DB_SCHEMA, 9);
    const table = source.find(TABLE, 10);
    if (schema < 0 || table < 0) throw new ForeignMessage('it does not name a table of PostgreSQL');
    const isOwn =
      source.textOf(schema) === JSON.stringify(this.#table.schema) &&
      source.textOf(table) === JSON.stringify(this.#table.table);
    if (!isOwn) throw new ForeignMessage(`it is of the table ${source.textOf(schema)}.${source.textOf(table)}`);
    const snapshot = source.find(SNAPSHOT, 4);
    const seen = snapshot < 0 ? '' : source.textOf(snapshot);
    if (seen === '"false"') this.origin = 'change';
    else if (SNAPSHOTS.test(seen)) this.origin = 'snapshot';
    const transaction = source.find(TXID, 11);
    if (transaction >= 0 && !source.isNull(transaction)) this.transaction = Number(source.textOf(transaction));
  }

  #readFlat(): void {
    const { object } = this.#value;
    this.added = ADDED;
    const deleted = object.find(DELETED, object.count - 1);
    const isDeleted = deleted >= 0 && /^"?true"?$/u.test(object.textOf(deleted));
    this.kind = isDeleted ? 'deleted' : 'row';
    if (isDeleted) return;
    this.row = object;
    this.rowSchema = this.#value.structOf();
  }
}
