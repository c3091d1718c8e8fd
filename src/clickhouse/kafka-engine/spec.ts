import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../../domain/replicated-table.js';
import type { KafkaTransport } from '../../domain/route.js';
import type { Settings } from '../../settings/settings.js';
import { knownReadingSettings } from '../insert-settings.js';
import { registrySettings } from './avro-sql.js';
import { connectionSettings } from './connection.js';
import { groupName, refuseEngineNames } from './names.js';
import { refuseDebeziumColumns } from './debezium-sql.js';
import { isForeign, type EngineSpec } from './table-sql.js';

/** What the objects of a table's loader are made from now. @throws Failure `Misconfigured`, `UnsuitableTable`; those of ClickHouse */
export async function engineSpec(
  {
    clickhouse,
    settings,
  }: { readonly clickhouse: ClickHouseClient; readonly settings: Pick<Settings, 'kafka' | 'registry'> },
  table: TargetTable,
  { loader, transport: { topic, partitions, format } }: { readonly loader: string; readonly transport: KafkaTransport },
): Promise<EngineSpec> {
  refuseEngineNames(table);
  if (isForeign({ table })) refuseDebeziumColumns(table);
  const isAvro = format === 'avro';
  return {
    table,
    topic,
    partitions,
    group: groupName(table, loader),
    isAvro,
    connection: { ...connectionSettings(settings), ...(isAvro ? registrySettings(settings) : {}) },
    reading: await knownReadingSettings(clickhouse),
  };
}
