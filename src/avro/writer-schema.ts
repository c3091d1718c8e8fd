/** A type of a schema that others wrote, with what Kafka Connect says of it. */
export type WrittenType = WrittenKind & {
  /** `connect.name`: the name of a meaning, such as `io.debezium.time.MicroTimestamp`. */
  readonly meaning?: string | undefined;
  /** `connect.type`: narrower than Avro has it, such as `int16`. */
  readonly connectType?: string | undefined;
  readonly logicalType?: string | undefined;
  /** Of a decimal: digits after the point. */
  readonly scale?: number | undefined;
  /** `connect.default`. */
  readonly absent?: unknown;
};

type WrittenKind =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: 'fixed'; readonly size: number }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  | { readonly kind: 'array' | 'map'; readonly items: WrittenType }
  | { readonly kind: 'union'; readonly branches: readonly WrittenType[] }
  | WrittenRecord;

export interface WrittenRecord {
  readonly kind: 'record';
  readonly fields: readonly WrittenField[];
}

export interface WrittenField {
  readonly name: string;
  readonly type: WrittenType;
  /** Null counts as none. */
  readonly absent?: unknown;
}

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
type PrimitiveKind = (typeof PRIMITIVES)[number];

/** A text that is no schema of Avro. */
export class MalformedSchema extends Error {}

type Json = Readonly<Record<string, unknown>>;

/** @param text JSON of a schema. @throws MalformedSchema */
export function readWriterSchema(text: string): WrittenType {
  let schema: unknown;
  try {
    schema = JSON.parse(text);
  } catch {
    throw new MalformedSchema('it is no JSON');
  }
  return new SchemaReader().read(schema, '');
}

class SchemaReader {
  /** By full name. A record may contain itself. */
  readonly #named = new Map<string, WrittenType>();

  /** @param namespace of what is around it */
  read(schema: unknown, namespace: string): WrittenType {
    if (typeof schema === 'string') return this.#find(schema, namespace);
    if (Array.isArray(schema)) return { kind: 'union', branches: schema.map((each) => this.read(each, namespace)) };
    if (typeof schema !== 'object' || schema === null) throw new MalformedSchema('a type in it is none');
    return this.#readObject(schema as Json, namespace);
  }

  #find(name: string, namespace: string): WrittenType {
    if (isPrimitive(name)) return { kind: name };
    const found = this.#named.get(fullName(name, namespace)) ?? this.#named.get(name);
    if (found === undefined) throw new MalformedSchema(`it has no type ${name}`);
    return found;
  }

  #readObject(schema: Json, namespace: string): WrittenType {
    const { type } = schema;
    const said = propertiesOf(schema);
    switch (type) {
      case 'record':
        return this.#readRecord(schema, namespace, said);
      case 'enum':
        return this.#name(schema, namespace, { kind: 'enum', symbols: listOf(schema['symbols']).map(String), ...said });
      case 'fixed':
        return this.#name(schema, namespace, { kind: 'fixed', size: Number(schema['size']), ...said });
      case 'array':
        return { kind: type, items: this.read(schema['items'], namespace), ...said };
      case 'map':
        return { kind: type, items: this.read(schema['values'], namespace), ...said };
      default:
        return { ...this.read(type, namespace), ...said };
    }
  }

  #readRecord(schema: Json, namespace: string, said: object): WrittenType {
    const fields: WrittenField[] = [];
    const record = this.#name(schema, namespace, { kind: 'record', fields, ...said });
    const within = namespaceOf(schema, namespace);
    for (const field of listOf(schema['fields']) as readonly Json[])
      fields.push({
        name: String(field['name']),
        type: this.read(field['type'], within),
        absent: field['default'] ?? undefined,
      });
    return record;
  }

  #name<T extends WrittenType>(schema: Json, namespace: string, type: T): T {
    this.#named.set(fullName(String(schema['name']), namespaceOf(schema, namespace)), type);
    return type;
  }
}

function propertiesOf(schema: Json): Omit<WrittenType, keyof WrittenKind> {
  const { scale, logicalType } = schema;
  const [meaning, connectType] = [schema['connect.name'], schema['connect.type']];
  return {
    ...(typeof meaning === 'string' ? { meaning } : {}),
    ...(typeof connectType === 'string' ? { connectType } : {}),
    ...(typeof logicalType === 'string' ? { logicalType } : {}),
    ...(typeof scale === 'number' ? { scale } : {}),
    ...(schema['connect.default'] === undefined ? {} : { absent: schema['connect.default'] }),
  };
}

function isPrimitive(name: string): name is PrimitiveKind {
  return (PRIMITIVES as readonly string[]).includes(name);
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new MalformedSchema('a list in it is none');
}

function namespaceOf({ name, namespace }: Json, around: string): string {
  const dot = String(name).lastIndexOf('.');
  if (dot >= 0) return String(name).slice(0, dot);
  return typeof namespace === 'string' ? namespace : around;
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
}
