import { DELETED_COLUMN, targetColumns, VERSION_COLUMN } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { quoteText } from '../names.js';
import { avroColumnsSql } from './avro-sql.js';
import { MESSAGE_COLUMNS, type EngineNames } from './names.js';

/** What the objects of a loader are made from. */
export interface EngineSpec {
  readonly table: TargetTable;
  readonly topic: string;
  readonly partitions: number;
  /** Consumer group of this loader alone. */
  readonly group: string;
  /** Messages are in Avro; else in JSON. */
  readonly isAvro: boolean;
  /** Settings of the Kafka table that say how to connect, as SQL literals. */
  readonly connection: Readonly<Record<string, string>>;
  /** Settings that say how text is read, those that the server knows. */
  readonly reading: Readonly<Record<string, string | number>>;
}

/**
 * A block is inserted after so many milliseconds, or when it has so many rows. One message every 27 ms: p50 88 ms from producer to
 * block. Shorter intervals shortened the tail, not the median.
 */
const PACE = {
  kafka_flush_interval_ms: 100,
  kafka_poll_timeout_ms: 50,
  kafka_max_block_size: 200_000,
  kafka_poll_max_batch_size: 65_536,
} as const;

/** The whole value of a message: the one column of the Kafka table of a topic that others write. */
export const BODY = '_kafka_body';

/** Others write the topic. */
export function isForeign({ table }: Pick<EngineSpec, 'table'>): boolean {
  return table.route?.capture.foreignTopic === true;
}

/** Every column takes NULL: a null for a column that takes none would become 0 here, and nobody would know. */
function columnsOf({ columns }: Pick<TargetTable, 'columns'>): string[] {
  const nullable = columns.map((column) => ({ ...column, nullable: true }));
  return targetColumns({ columns: nullable }).map(({ name, type }) => `  ${quoteCh(name)} ${type}`);
}

function kafkaColumns(spec: EngineSpec): readonly string[] {
  if (isForeign(spec)) return [`  ${BODY} String`];
  return spec.isAvro ? avroColumnsSql(spec.table) : columnsOf(spec.table);
}

function formatOf(spec: EngineSpec): string {
  if (isForeign(spec)) return 'RawBLOB';
  return spec.isAvro ? 'AvroConfluent' : 'JSONEachRow';
}

/**
 * The Kafka table. In the mode `stream` a message that cannot be parsed is a row with `_error` and `_raw_message`, and the rest of
 * its block goes on.
 */
export function kafkaTableSql(names: EngineNames, spec: EngineSpec): string {
  const settings = {
    ...spec.connection,
    kafka_topic_list: quoteText(spec.topic),
    kafka_group_name: quoteText(spec.group),
    kafka_format: quoteText(formatOf(spec)),
    kafka_handle_error_mode: quoteText('stream'),
    kafka_num_consumers: '1',
    ...stringified(PACE),
    ...stringified(spec.reading),
  };
  const lines = Object.entries(settings).map(([name, value]) => `  ${name} = ${value}`);
  return /* sql */ `
create table ${names.sql.kafka}
(
${kafkaColumns(spec).join(',\n')}
)
engine = Kafka
settings
${lines.join(',\n')}`;
}

/** Hands every message, with where it came from and what it is, to the views. Engine Null: it stores nothing. */
export function messagesTableSql(names: EngineNames, spec: EngineSpec): string {
  const { topic, partition, offset, raw, header, kind, problem } = MESSAGE_COLUMNS;
  const own = [
    `  ${topic} String`,
    `  ${partition} UInt64`,
    `  ${offset} UInt64`,
    `  ${raw} String`,
    `  ${header} String`,
    `  ${kind} String`,
    `  ${problem} String`,
  ];
  return /* sql */ `
create table ${names.sql.messages}
(
${[...columnsOf(spec.table), ...own].join(',\n')}
)
engine = Null`;
}

/** Repeats of one message are one row, after merges and with FINAL. */
export function errorsTableSql(names: EngineNames): string {
  return /* sql */ `
create table if not exists ${names.sql.errors}
(
  topic String,
  partition UInt64,
  offset UInt64,
  raw_message String,
  error String,
  header String,
  time DateTime64(3, 'UTC') default now64(3)
)
engine = ReplacingMergeTree
order by (topic, partition, offset)`;
}

/** The columns that a row has, without those of a message. */
export function rowColumns({ table }: Pick<EngineSpec, 'table'>): readonly { name: string; type: string }[] {
  return targetColumns(table).filter(({ name }) => name !== VERSION_COLUMN && name !== DELETED_COLUMN);
}

function stringified(settings: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name,
      typeof value === 'number' ? String(value) : quoteText(value),
    ]),
  );
}
