import { byPosition, DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import { shownName, takesNull } from '../../domain/replicated-table.js';
import { MESSAGE_HEADER } from '../../messages/header.js';
import { quoteText, targetNames } from '../names.js';
import { avroSourceSql, HEADERS, REFUSED_PROBLEM } from './avro-sql.js';
import { MESSAGE_COLUMNS, type EngineNames } from './names.js';
import { rowColumns, type EngineSpec } from './table-sql.js';

const { topic, partition, offset, raw, header, kind, problem } = MESSAGE_COLUMNS;

/**
 * The one view on the Kafka table: several of them would be made one by one, and what passes between the first and the last is lost
 * for the others. It says what each message is:
 *
 *   row, mark   ours: loaded
 *   older       of a history of the table before it was added: passed over, as every loader does
 *   error       not to be parsed, not ours, or a null where the source has none: kept in the table of errors
 *
 * No column of the table gets an alias before the conditions have read it: a name would mean the alias, and a bad row would go
 * into the target as well.
 */
export function consumerSql(names: EngineNames, spec: EngineSpec): string {
  const columns = [...rowColumns(spec).map(({ name }) => name), VERSION_COLUMN, DELETED_COLUMN].map(quoteCh);
  const headers = spec.isAvro ? HEADERS : { names: '_headers.name', values: '_headers.value' };
  const text = `formatRowNoNewline('JSONEachRow', ${columns.join(', ')})`;
  return /* sql */ `
create materialized view ${names.sql.consumer} to ${names.sql.messages}
as select
  ${[...columns, ...Object.values(MESSAGE_COLUMNS)].join(', ')}
from (
  select *,
    _topic as ${topic},
    toUInt64(_partition) as ${partition},
    toUInt64(_offset) as ${offset},
    ${headers.values}[indexOf(${headers.names}, ${quoteText(MESSAGE_HEADER)})] as ${header},
    splitByChar('/', ${header}) as _kafka_fields,
    ${oursSql(spec)} as _kafka_ours,
    toUInt64OrZero(_kafka_fields[3]) as _kafka_generation,
    _kafka_ours and _kafka_fields[9] = 'truncate' as _kafka_truncate,
    ${problemSql(spec)} as _kafka_why,
    multiIf(
      _kafka_ours and _kafka_generation < ${spec.table.generation}, 'older',
      _kafka_why != '', 'error',
      _kafka_truncate, 'mark',
      'row') as ${kind},
    if(${kind} = 'error', _kafka_why, '') as ${problem},
    multiIf(${kind} != 'error', '', _error != '', _raw_message, ${text}) as ${raw}
  from ${spec.isAvro ? avroSourceSql(names, spec.table) : names.sql.kafka}
)`;
}

/** `2/<origin>/<generation>/<shape>/<batch>/<row>/<rows>/<highest>[/truncate]` of this deployment. */
function oursSql({ table }: EngineSpec): string {
  return `(startsWith(${header}, ${quoteText(`2/${table.deployment ?? ''}/`)}) and length(_kafka_fields) >= 8)`;
}

/** What is wrong with a message, in words; the first thing. */
function problemSql({ table: { columns, key }, isAvro }: EngineSpec): string {
  const needed = byPosition(columns).filter((column) => !takesNull(column) || key.includes(column.name));
  const nulls = needed.map((column) => {
    const name = shownName(column);
    // A tombstone has the key only.
    const live = key.includes(column.name) ? '' : ` and ${DELETED_COLUMN} = 0`;
    return `isNull(${quoteCh(name)}) and not _kafka_truncate${live}, ${quoteText(`column "${name}" is null, or missing`)}`;
  });
  const conditions = [
    `_error != '', _error`,
    `${header} = '', 'not ours: it has no header pg2click'`,
    `not _kafka_ours, concat('not ours: its header is ', ${header})`,
    `toUInt64(bitShiftRight(${VERSION_COLUMN}, 120)) != _kafka_generation, 'its _version is not of the generation in its header'`,
    ...(isAvro ? [REFUSED_PROBLEM] : []),
    ...nulls,
  ];
  return `multiIf(\n      ${conditions.join(',\n      ')},\n      '')`;
}

/** Live rows and tombstones -> the target. */
export function rowsSql(names: EngineNames, spec: EngineSpec): string {
  const { sql } = targetNames(spec.table.target);
  const nullable = new Map(spec.table.columns.map((column) => [shownName(column), takesNull(column)]));
  const columns = rowColumns(spec).map(({ name, type }) => {
    const column = `m.${quoteCh(name)}`;
    const value =
      nullable.get(name) === true ? column : `ifNull(${column}, defaultValueOfTypeName(${quoteText(type)}))`;
    return `  ${value} as ${quoteCh(name)}`;
  });
  return /* sql */ `
create materialized view ${names.sql.rows} to ${sql.table}
as select
${columns.join(',\n')},
  m.${VERSION_COLUMN} as ${VERSION_COLUMN},
  m.${DELETED_COLUMN} as ${DELETED_COLUMN}
from ${names.sql.messages} as m
where m.${kind} = 'row'`;
}

/** TRUNCATE marks -> the floor. */
export function marksSql(names: EngineNames, spec: EngineSpec): string {
  const { sql } = targetNames(spec.table.target);
  return /* sql */ `
create materialized view ${names.sql.marks} to ${sql.floor}
as select m.${VERSION_COLUMN} as version
from ${names.sql.messages} as m
where m.${kind} = 'mark'`;
}

export function refusedSql(names: EngineNames): string {
  return /* sql */ `
create materialized view ${names.sql.refused} to ${names.sql.errors}
as select m.${topic} as topic, m.${partition} as partition, m.${offset} as offset, m.${raw} as raw_message,
  m.${problem} as error, m.${header} as header
from ${names.sql.messages} as m
where m.${problem} != ''`;
}
