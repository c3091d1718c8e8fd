/** What Kafka Connect says of a field: its type, and the name of its meaning, if it has one. */
export interface FieldSchema {
  /** `int32`, `string`, `bytes`, `struct` .. */
  readonly type: string;
  /** `io.debezium.time.MicroTimestamp` .. */
  readonly name?: string;
  /** Of a decimal: digits after the point. */
  readonly scale?: number;
  /** What a value is that was not given. */
  readonly absent?: unknown;
}

/** By field of a struct. */
export type StructSchema = ReadonlyMap<string, FieldSchema>;

interface ConnectSchema {
  readonly type?: unknown;
  readonly name?: unknown;
  readonly default?: unknown;
  readonly field?: unknown;
  readonly fields?: readonly ConnectSchema[];
  readonly parameters?: { readonly scale?: unknown };
}

/**
 * Reads the schema that Connect's JsonConverter puts beside a value.
 * @param text JSON of it
 * @param within the field of the struct that is meant; the struct itself when absent
 * @returns undefined where it is no schema of a struct
 */
export function readSchema(text: string, within?: string): StructSchema | undefined {
  const schema = JSON.parse(text) as ConnectSchema | null;
  const struct = within === undefined ? schema : schema?.fields?.find(({ field }) => field === within);
  if (struct?.fields === undefined) return undefined;
  return new Map(struct.fields.map((field) => [String(field.field), fieldOf(field)]));
}

function fieldOf({ type, name, parameters, default: absent }: ConnectSchema): FieldSchema {
  const scale = parameters?.scale === undefined ? undefined : Number(parameters.scale);
  return {
    type: String(type),
    ...(typeof name === 'string' ? { name } : {}),
    ...(scale === undefined ? {} : { scale }),
    ...(absent === undefined || absent === null ? {} : { absent }),
  };
}
