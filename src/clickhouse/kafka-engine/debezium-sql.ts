import { byPosition } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import { shownName, sourceName, takesNull, type Column } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import { formatTableName } from '../../domain/table-name.js';
import { quoteText } from '../names.js';
import { debeziumColumn, describedType, ROW, TYPES, type DebeziumColumn } from './debezium-column.js';
import { MESSAGE_COLUMNS, type EngineNames } from './names.js';
import { BODY, type EngineSpec } from './table-sql.js';

const { topic, partition, offset, raw, header, kind, problem } = MESSAGE_COLUMNS;

/** It has a schema. */
const WRAPPED = '_kafka_wrapped';
const ENVELOPE = '_kafka_envelope';
const WHY = '_kafka_why';
const OP = `${ENVELOPE}.op`;
/** At the ends of a snapshot of the table: two messages at most say that there was another one. */
const SNAPSHOT_ENDS = ['true', 'first', 'first_in_data_collection', 'last_in_data_collection', 'last'];
const NEW_SNAPSHOT =
  'Debezium began a new snapshot: rows that were deleted before it may have no message. The row is loaded';
const ENVELOPE_TYPE = `'Tuple(op String, source Tuple(schema String, table String, snapshot String))'`;
const FIELDS_TYPE = 'Array(Tuple(field String, type String, name String, parameters Tuple(scale String)))';
const SCHEMA_TYPE = `'Array(Tuple(field String, fields ${FIELDS_TYPE}))'`;

interface EngineColumn {
  readonly column: Column;
  readonly read: DebeziumColumn;
}

/** @throws Failure `UnsuitableTable` for columns that only a worker can load */
export function refuseDebeziumColumns({
  name,
  columns,
}: {
  readonly name: EngineSpec['table']['name'];
  readonly columns: readonly Column[];
}): void {
  const lacking = columns.filter((column) => debeziumColumn(column) === undefined);
  if (lacking.length === 0) return;
  const [numeric] = lacking.filter(({ type, nullable, policy }) => type === 'numeric' && nullable && policy !== 'null');
  throw new Failure('UnsuitableTable', {
    message: `Messages of Debezium do not hold the exact values of ${lacking.map((column) => `${column.name} (${column.type})`).join(', ')} of ${formatTableName(name)}, or not as they were chosen for ClickHouse, and the Kafka engine has nothing else to read.`,
    remedy:
      numeric === undefined
        ? 'Use --loader worker, which reads such rows from PostgreSQL, or leave the columns out with --exclude-column.'
        : `Use --loader worker, which reads such rows from PostgreSQL. Of a numeric(p,s) that may be NULL, Debezium writes null for NaN: --policy ${numeric.name}=null says that this is meant.`,
  });
}

/**
 * The view on the Kafka table of a topic that Debezium writes: envelopes in JSON, with a schema or without. What a value is, its text in
 * the JSON and the schema say; a message that does not hold all of them exactly goes to the table of errors. ClickHouse passes over messages
 * without a value, the tombstones: the deletion before each has said it.
 */
export function debeziumConsumerSql(names: EngineNames, spec: EngineSpec): string {
  const { generation, shape } = spec.table;
  const columns = columnsOf(spec);
  const values = columns.map(({ column, read }) => `${read.value} as ${quoteCh(shownName(column))}`);
  const steps = columns.flatMap(({ read }) => read.steps);
  const layers = [
    [
      `_topic as ${topic}`,
      `toUInt64(_partition) as ${partition}`,
      `toUInt64(_offset) as ${offset}`,
      `'' as ${header}`,
      BODY,
      `JSONHas(${BODY}, 'payload') and JSONHas(${BODY}, 'schema') as ${WRAPPED}`,
    ],
    [
      `${extract('JSONExtract', ENVELOPE_TYPE)} as ${ENVELOPE}`,
      `arrayFirst(each -> each.field = 'after', JSONExtract(${BODY}, 'schema', 'fields', ${SCHEMA_TYPE})).fields as _kafka_fields`,
    ],
    [
      `${extract('JSONExtractKeysAndValuesRaw', `if(${OP} = 'd', 'before', 'after')`)} as _kafka_pairs`,
      `mapFromArrays(_kafka_pairs.1, _kafka_pairs.2) as ${ROW}`,
      `mapFromArrays(_kafka_fields.field, arrayMap(each -> ${describedType('each')}, _kafka_fields)) as ${TYPES}`,
    ],
    ...range(Math.max(...steps.map(({ level }) => level))).map((level) =>
      steps.filter((step) => step.level === level).map(({ sql }) => sql),
    ),
    [`${problemSql(spec, columns)} as ${WHY}`],
    [
      `multiIf(${WHY} != '', 'error', ${OP} = 't', 'mark', 'row') as ${kind}`,
      `multiIf(${WHY} != '', ${WHY}, ${OP} = 'r' and ${ENVELOPE}.source.snapshot in (${SNAPSHOT_ENDS.map(quoteText).join(', ')}), ${quoteText(NEW_SNAPSHOT)}, '') as ${problem}`,
      `if(${problem} = '', '', ${BODY}) as ${raw}`,
    ],
  ];
  const inner = layers.reduce(
    (from, layer, index) => `(\nselect ${[...(index === 0 ? [] : ['*']), ...layer].join(',\n  ')}\nfrom ${from})`,
    names.sql.kafka,
  );
  return /* sql */ `
create materialized view ${names.sql.consumer} to ${names.sql.messages}
as select
  ${values.join(',\n  ')},
  bitShiftLeft(toUInt128(${generation}), 120) + bitShiftLeft(toUInt128(2 * ${offset} + 2), 64) + toUInt128(${shape}) as _version,
  toUInt8(${OP} = 'd') as _deleted,
  ${topic}, ${partition}, ${offset}, ${raw}, ${header}, ${kind}, ${problem}
from ${inner}`;
}

/** 1, 2 .. last */
function range(last: number): readonly number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** Of the value itself, or of the payload beside a schema: in one step, because what is printed in between would lose the sign of -0. */
function extract(name: string, what: string): string {
  return `if(${WRAPPED}, ${name}(${BODY}, 'payload', ${what}), ${name}(${BODY}, ${what}))`;
}

function columnsOf({ table }: EngineSpec): readonly EngineColumn[] {
  return byPosition(table.columns).map((column, place) => {
    const read = debeziumColumn(column, place);
    if (read === undefined) throw new TypeError(`no message of Debezium holds the column ${column.name}`);
    return { column, read };
  });
}

/** What is wrong with a message, in words; the first thing. */
function problemSql({ table }: EngineSpec, columns: readonly EngineColumn[]): string {
  const { schema, table: name } = sourceName(table);
  const known = [...table.columns, ...(table.excluded ?? [])].map((column) => quoteText(column.name));
  const from = `${ENVELOPE}.source`;
  const conditions = [
    `not isValidJSON(${BODY})`,
    `'not to be parsed: it is no JSON'`,
    `${OP} not in ('c', 'r', 'u', 'd', 't')`,
    `'not an envelope of Debezium: it has no "op" of c, r, u, d and t'`,
    `${from}.schema != ${quoteText(schema)} or ${from}.table != ${quoteText(name)}`,
    `concat('of the table ', ${from}.schema, '.', ${from}.table)`,
    `${OP} = 't'`,
    `''`,
    `${OP} != 'd' and arrayExists(name -> name not in (${known.join(', ')}), mapKeys(${ROW}))`,
    `concat('unknown fields: ', arrayStringConcat(arrayFilter(name -> name not in (${known.join(', ')}), mapKeys(${ROW})), ', '))`,
    ...columns.flatMap((each) => lackSql(each, table.key.includes(each.column.name))),
  ];
  return `multiIf(\n      ${conditions.join(',\n      ')},\n      '')`;
}

/** A deletion has the key alone. */
function lackSql({ column, read: { raw, described, value } }: EngineColumn, isKey: boolean): string[] {
  const isNull = takesNull(column) && !isKey ? ` and ${raw} != 'null'` : '';
  const shown = quoteText(`column "${shownName(column)}" is missing, null, or not exact: its JSON is `);
  const what = `multiIf(${raw} = '', 'missing', ${raw} = 'null', 'null', startsWith(${raw}, '"'), 'a text', 'another value')`;
  const schema = `if(${described} = '', ', without a schema', concat(', with the schema ', ${described}))`;
  return [`isNull(${value})${isNull}${isKey ? '' : ` and ${OP} != 'd'`}`, `concat(${shown}, ${what}, ${schema})`];
}
