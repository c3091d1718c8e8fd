import { avroColumns } from '../src/avro/avro-type.js';
import { avroSchema } from '../src/avro/schema.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { requireRegistry } from '../src/connect/schema-registry.js';
import { kafkaOf, type Route } from '../src/domain/route.js';
import type { AvroForm } from '../src/messages/encoder.js';
import type { Deps } from './deps.js';

/**
 * What records of a table are written by: the schema of its shape, which the registry has from then on.
 * @param route of the table, or that it is to get
 * @returns undefined where its messages are not in Avro
 * @throws Failure `Misconfigured` without a registry, `UnsuitableTable` as `avroSchema`, and those of `SchemaRegistry.register`
 */
export async function avroFormOf(
  { registry }: Pick<Deps, 'registry'>,
  table: ReplicatedTable,
  route: Route = table.route,
): Promise<AvroForm | undefined> {
  const transport = kafkaOf(route);
  if (transport?.format !== 'avro') return undefined;
  const schema = avroSchema(table);
  const schemaId = await requireRegistry(registry).register(`${transport.topic}-value`, schema);
  return { schemaId, columns: avroColumns(table) };
}
