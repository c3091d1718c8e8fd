import { readWriterSchema, type WrittenField, type WrittenRecord, type WrittenType } from '../avro/writer-schema.js';
import type { FieldSchema, StructSchema } from './semantic-type.js';

/** What Connect calls Avro's types. */
const CONNECT_TYPES: Readonly<Record<WrittenType['kind'], string>> = {
  null: 'null',
  boolean: 'boolean',
  int: 'int32',
  long: 'int64',
  float: 'float',
  double: 'double',
  bytes: 'bytes',
  fixed: 'bytes',
  string: 'string',
  enum: 'string',
  array: 'array',
  map: 'map',
  union: 'union',
  record: 'struct',
};

/** A schema of a registry, by which messages were written. */
export class WriterSchema {
  readonly type: WrittenType;
  readonly #structs = new Map<string | undefined, StructSchema | undefined>();

  /** @param text JSON of it. @throws MalformedSchema */
  constructor(text: string) {
    this.type = readWriterSchema(text);
  }

  /** Each call returns the same one. @param within the field of the record that is meant; the record itself when absent */
  structOf(within?: string): StructSchema | undefined {
    if (!this.#structs.has(within)) this.#structs.set(within, structOf(recordOf(this.type, within)));
    return this.#structs.get(within);
  }
}

function recordOf(type: WrittenType, within: string | undefined): WrittenRecord | undefined {
  const record = present(type);
  if (record.kind !== 'record') return undefined;
  if (within === undefined) return record;
  const field = record.fields.find(({ name }) => name === within);
  return field === undefined ? undefined : recordOf(field.type, undefined);
}

function structOf(record: WrittenRecord | undefined): StructSchema | undefined {
  return record && new Map(record.fields.map((field) => [field.name, fieldOf(field)]));
}

function fieldOf({ type: written, absent: fallback }: WrittenField): FieldSchema {
  const type = present(written);
  const { kind, meaning, connectType, logicalType, scale, absent = fallback } = type;
  const isDecimal = logicalType === 'decimal';
  const name = meaning ?? (isDecimal ? 'org.apache.kafka.connect.data.Decimal' : undefined);
  return {
    type: connectType ?? CONNECT_TYPES[kind],
    ...(name === undefined ? {} : { name }),
    // Avro leaves the scale 0 out.
    ...(isDecimal ? { scale: scale ?? 0 } : {}),
    ...(absent === undefined ? {} : { absent }),
  };
}

/** Of a union with null: what a value is that is none. */
function present(type: WrittenType): WrittenType {
  if (type.kind !== 'union') return type;
  const branches = type.branches.filter(({ kind }) => kind !== 'null');
  return branches.length === 1 ? (branches[0] ?? type) : type;
}
