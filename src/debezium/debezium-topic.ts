import { MalformedSchema } from '../avro/writer-schema.js';
import type { Databases } from '../connect/databases.js';
import type { SchemaRegistry } from '../connect/schema-registry.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { verifyUnchanged } from '../source/catalog/verify-unchanged.js';
import type { ForeignTopic, TopicPosition } from '../topic/topic-source.js';
import { readDefaulted } from '../source/catalog/defaulted.js';
import { UnknownSchema } from './avro-value.js';
import { DebeziumBatch } from './batch-builder.js';
import { UnknownColumns } from './row-writer.js';
import { WriterSchema } from './writer-schema.js';

export interface DebeziumServices extends Databases {
  readonly registry: SchemaRegistry | undefined;
}

/**
 * How the topic of a table is read that Debezium writes.
 * @param position of the stage; undefined for a replay, which may read snapshots again
 */
export function openDebeziumTopic(
  { registry, ...databases }: DebeziumServices,
  table: ReplicatedTable,
  topic: string,
  position?: Pick<TopicPosition, 'streamed'>,
): ForeignTopic {
  let streamed = position === undefined ? undefined : position.streamed === true;
  const ignored = new Set(table.excluded?.map(({ name }) => name));
  const schemas = new Map<number, WriterSchema>();
  let defaulted: ReadonlySet<string> = new Set();
  return {
    form: (limits, isNamed) =>
      new DebeziumBatch({ table, topic, ignored, streamed, schemas, defaulted }, limits, isNamed),

    loaded(fetched) {
      if (streamed === false && fetched.streamed === true) streamed = true;
    },

    async verify() {
      await verifyUnchanged(databases, table);
      defaulted = new Set(await readDefaulted(databases.source, table.relation));
    },

    async learn(met) {
      const unknown = (met as { readonly cause?: unknown }).cause;
      if (unknown instanceof UnknownSchema) {
        schemas.set(unknown.id, await fetchSchema(registry, topic, unknown.id));
        return;
      }
      if (!(unknown instanceof UnknownColumns)) throw met;
      const here = await columnsHere(databases, table);
      const added = unknown.names.filter((name) => here.has(name));
      // Before anything of it is loaded: the slice begins again with the columns of now.
      if (added.length > 0)
        throw new Failure('SourceChanged', {
          message: `${formatTableName(table.name)} was changed: its messages have ${added.join(', ')} now.`,
        });
      for (const name of unknown.names) ignored.add(name);
    },
  };
}

/** @throws Failure `Misconfigured` without a registry, or for a schema that it does not have; those of `SchemaRegistry.schema` */
async function fetchSchema(registry: SchemaRegistry | undefined, topic: string, id: number): Promise<WriterSchema> {
  if (registry === undefined)
    throw new Failure('Misconfigured', {
      message: `Messages of topic ${topic} are in Avro, and SCHEMA_REGISTRY_URL is not set.`,
      remedy:
        'Set SCHEMA_REGISTRY_URL for the workers to the registry that the connector of the topic uses, restart them, then resume the table.',
    });
  const text = await registry.schema(id);
  try {
    return new WriterSchema(text);
  } catch (error) {
    if (!(error instanceof MalformedSchema)) throw error;
    throw new Failure('TopicReplaced', {
      message: `Schema ${id}, which messages of topic ${topic} name, is none of Avro that can be read: ${error.message}.`,
      remedy: 'Let the connector write with the JSON or the Avro converter; then remove the table and add it again.',
      cause: error,
    });
  }
}

/** The columns that the table has now, but those that are left out, under whatever name. */
async function columnsHere(
  { source }: Databases,
  { relation, excluded = [] }: ReplicatedTable,
): Promise<ReadonlySet<string>> {
  const found = await source.query<{ name: string }>(
    /* sql */ `select a.attname::text as name from pg_catalog.pg_attribute a
      where a.attrelid = $1::pg_catalog.oid and a.attnum > 0 and not a.attisdropped and a.attnum <> all ($2::int[])`,
    [relation, excluded.map(({ position }) => position)],
  );
  return new Set(found.rows.map(({ name }) => name));
}
