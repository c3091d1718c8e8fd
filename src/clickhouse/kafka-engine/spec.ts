import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import type { KafkaTransport } from '../../domain/route.js';
import { formatTableName } from '../../domain/table-name.js';
import type { Settings } from '../../settings/settings.js';
import { knownReadingSettings } from '../insert-settings.js';
import { connectionSettings } from './connection.js';
import { groupName, RESERVED_BY_ENGINE } from './names.js';
import type { EngineSpec } from './table-sql.js';

/** What the objects of a table's loader are made from now. @throws Failure `Misconfigured`, `UnsuitableTable`; those of ClickHouse */
export async function engineSpec(
  { clickhouse, settings }: { readonly clickhouse: ClickHouseClient; readonly settings: Pick<Settings, 'kafka'> },
  table: TargetTable,
  { loader, transport: { topic, partitions } }: { readonly loader: string; readonly transport: KafkaTransport },
): Promise<EngineSpec> {
  const reserved = table.columns.find(({ name }) => RESERVED_BY_ENGINE.test(name));
  if (reserved !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `Table ${formatTableName(table.name)} has a column "${reserved.name}": the Kafka engine of ClickHouse uses that name itself.`,
      remedy: 'Rename the column, or remove the table and add it with --loader worker.',
    });
  return {
    table,
    topic,
    partitions,
    group: groupName(table, loader),
    connection: connectionSettings(settings),
    reading: await knownReadingSettings(clickhouse),
  };
}
