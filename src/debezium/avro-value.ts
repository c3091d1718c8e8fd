import { AvroInput, MalformedRecord } from '../avro/input.js';
import { MAGIC, PREFIX_BYTES } from '../avro/record-writer.js';
import { writeJson } from '../avro/write-json.js';
import { LineBuffer } from '../pipeline/line-buffer.js';
import type { WriterSchema } from './writer-schema.js';

/** A message names a schema that was not asked for yet. */
export class UnknownSchema extends Error {
  readonly id: number;

  constructor(id: number) {
    super(`schema ${id} is not known yet`);
    this.id = id;
  }
}

/** No JSON begins so. */
export function isAvro(bytes: Buffer, start: number, end: number): boolean {
  return end - start >= PREFIX_BYTES && bytes[start] === MAGIC;
}

/** Makes the JSON that Connect's JsonConverter would write of messages in the wire format of Confluent, one at a time. */
export class AvroValue {
  readonly #schemas: ReadonlyMap<number, WriterSchema>;
  readonly #from = new AvroInput();
  readonly #json = new LineBuffer();

  /** @param schemas by their ids */
  constructor(schemas: ReadonlyMap<number, WriterSchema>) {
    this.#schemas = schemas;
  }

  /** @throws UnknownSchema */
  schemaOf(bytes: Buffer, start: number): WriterSchema {
    const id = bytes.readUInt32BE(start + 1);
    const schema = this.#schemas.get(id);
    if (schema === undefined) throw new UnknownSchema(id);
    return schema;
  }

  /** @returns the JSON, which the next call overwrites. @throws MalformedRecord */
  jsonOf({ type }: WriterSchema, bytes: Buffer, start: number, end: number): Buffer {
    const [from, json] = [this.#from, this.#json];
    from.open(bytes, start + PREFIX_BYTES, end);
    json.drop();
    writeJson(type, from, json);
    if (!from.isAtEnd) throw new MalformedRecord('it goes on behind its end');
    return json.look();
  }
}
