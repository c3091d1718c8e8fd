import { AvroValue, isAvro } from './avro-value.js';
import { JsonObject } from './json-object.js';
import { readSchema, type StructSchema } from './semantic-type.js';
import type { WriterSchema } from './writer-schema.js';

const SCHEMA = Buffer.from('schema');
const PAYLOAD = Buffer.from('payload');

/**
 * A key or a value, as a converter of Connect writes it. JSON is the object itself, or `{"schema": .., "payload": ..}`: that schema is
 * often longer than the row, and the same in every message, so it is compared, not read. A record of Avro is made JSON.
 */
export class ConnectValue {
  readonly object = new JsonObject();
  readonly #root = new JsonObject();
  readonly #avro: AvroValue;
  #schema: WriterSchema | undefined;
  /** What goes before the payload. */
  #text: Buffer = Buffer.alloc(0);
  #schemaText: string | undefined;
  /** Read from `#schemaText`. */
  readonly #structs = new Map<string | undefined, StructSchema | undefined>();

  /** @param schemas of messages in Avro, by their ids */
  constructor(schemas: ReadonlyMap<number, WriterSchema>) {
    this.#avro = new AvroValue(schemas);
  }

  /** @returns false for `null`. @throws NotAnObject; UnknownSchema, MalformedRecord */
  read(bytes: Buffer, start: number, end: number): boolean {
    if (isAvro(bytes, start, end)) return this.#readAvro(bytes, start, end);
    this.#schema = undefined;
    const { length } = this.#text;
    const isKnown =
      length > 0 && end - start > length && bytes.compare(this.#text, 0, length, start, start + length) === 0;
    if (isKnown) return this.#readPayload(bytes, start + length, end);
    this.#root.read(bytes, start, end);
    const schema = this.#root.find(SCHEMA, 0);
    const payload = this.#root.find(PAYLOAD, 1);
    if (this.#root.count !== 2 || schema < 0 || payload < 0 || schema > payload) {
      if (this.#text.length > 0 || this.#schemaText !== undefined) this.#know(Buffer.alloc(0), undefined);
      this.object.read(bytes, start, end);
      return true;
    }
    this.#know(
      Buffer.from(bytes.subarray(start, this.#root.startOf(payload))),
      this.#root.isNull(schema) ? undefined : this.#root.textOf(schema),
    );
    return this.#readPayload(bytes, this.#root.startOf(payload), end);
  }

  /**
   * What the message says of the fields of the object, or of those of one of its fields: of one schema always the same.
   * @returns undefined for a message without a schema. @throws SyntaxError
   */
  structOf(within?: string): StructSchema | undefined {
    if (this.#schema !== undefined) return this.#schema.structOf(within);
    if (this.#schemaText === undefined) return undefined;
    if (!this.#structs.has(within)) this.#structs.set(within, readSchema(this.#schemaText, within));
    return this.#structs.get(within);
  }

  #readAvro(bytes: Buffer, start: number, end: number): boolean {
    this.#schema = this.#avro.schemaOf(bytes, start);
    const json = this.#avro.jsonOf(this.#schema, bytes, start, end);
    return this.#readPayload(json, 0, json.length);
  }

  #know(text: Buffer, schemaText: string | undefined): void {
    this.#text = text;
    this.#schemaText = schemaText;
    this.#structs.clear();
  }

  #readPayload(bytes: Buffer, start: number, end: number): boolean {
    if (bytes[start] === 0x6e) return false;
    this.object.read(bytes, start, end);
    return true;
  }
}
