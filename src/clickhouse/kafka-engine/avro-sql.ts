import { avroColumns } from '../../avro/avro-type.js';
import { REFUSED_FIELD } from '../../avro/schema.js';
import { requireRegistry } from '../../connect/schema-registry.js';
import { byPosition, columnType, DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import { physicalName, type TargetTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import type { Settings } from '../../settings/settings.js';
import { quoteText } from '../names.js';
import type { EngineNames } from './names.js';

/** What the source of the consumer is called where its columns are those of records. */
export const HEADERS = { names: '_kafka_names', values: '_kafka_values' } as const;

interface AvroField {
  /** In the records. */
  readonly name: string;
  /** What ClickHouse reads it as; all take NULL. */
  readonly type: string;
  /** In the target, and its type there, which takes NULL here. */
  readonly physical: string;
  readonly target: string;
}

function fieldsOf(table: Pick<TargetTable, 'columns' | 'key'>): readonly AvroField[] {
  const avro = avroColumns(table);
  return byPosition(table.columns).map((column, index) => {
    const target = columnType(column).clickhouse({ ...column, nullable: true });
    const { name = '', type } = avro[index] ?? {};
    return { name, type: readAs(type?.kind, target), physical: physicalName(column), target };
  });
}

/** Where the type of the record has no reading as that of the target, the one that it has. */
function readAs(kind: string | undefined, target: string): string {
  if (kind === 'moment') return `Nullable(DateTime64(6, 'UTC'))`;
  if (kind === 'date') return 'Nullable(Date32)';
  return kind === 'string' && !target.includes('String') ? 'Nullable(String)' : target;
}

/** The columns of the Kafka table. */
export function avroColumnsSql(table: Pick<TargetTable, 'columns' | 'key'>): readonly string[] {
  return [
    ...fieldsOf(table).map(({ name, type }) => `  ${quoteCh(name)} ${type}`),
    `  ${VERSION_COLUMN} String`,
    `  ${DELETED_COLUMN} UInt8`,
    `  ${REFUSED_FIELD} Array(String)`,
  ];
}

/** The Kafka table with the names and types of the target; a message that was not read has a version of 0. */
export function avroSourceSql(names: EngineNames, table: Pick<TargetTable, 'columns' | 'key'>): string {
  const columns = fieldsOf(table).map(({ name, type, physical, target }) => {
    const value = type === target ? quoteCh(name) : `cast(${quoteCh(name)}, ${quoteText(target)})`;
    return `${value} as ${quoteCh(physical)}`;
  });
  return `(
    select ${columns.join(', ')}, toUInt128OrZero(${VERSION_COLUMN}) as ${VERSION_COLUMN}, ${DELETED_COLUMN}, ${REFUSED_FIELD},
      _topic, _partition, _offset, _headers.name as ${HEADERS.names}, _headers.value as ${HEADERS.values}, _error, _raw_message
    from ${names.sql.kafka}
  )`;
}

/** A condition and what it means, as arguments of `multiIf`. */
export const REFUSED_PROBLEM = `notEmpty(${REFUSED_FIELD}), concat('no place for the value of ', arrayStringConcat(${REFUSED_FIELD}, ', '))`;

/**
 * How ClickHouse reads the schemas, as settings of its Kafka table: as SQL literals.
 * @throws Failure `Misconfigured` for what ClickHouse would show to others
 */
export function registrySettings({ registry }: Pick<Settings, 'registry'>): Readonly<Record<string, string>> {
  const { wouldShowUser, urlForClickHouse } = requireRegistry(registry);
  if (wouldShowUser)
    throw new Failure('Misconfigured', {
      message:
        'The schema registry wants a user and password, and ClickHouse would show them to everybody who may see its Kafka table.',
      remedy:
        'Set SCHEMA_REGISTRY_URL_FOR_CLICKHOUSE to an address that ClickHouse may read without them, or with those of a user who may only read. Or use --loader worker.',
    });
  return { [REGISTRY_SETTING]: quoteText(urlForClickHouse.reveal()) };
}

export const REGISTRY_SETTING = 'format_avro_schema_registry_url';
