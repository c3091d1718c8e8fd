import type { OutboxBatch } from '../../../domain/batch.js';
import { columnType } from '../../../domain/column-type.js';
import { literal } from '../../../domain/identifier.js';
import { LOG_OPERATIONS, loggedColumns } from '../../../domain/log-columns.js';
import { takesNull, type Column } from '../../../domain/replicated-table.js';
import { eventsSql } from '../../outbox/drain-keys.js';
import type { ReadTable } from '../../outbox/drain-transaction.js';
import type { Form } from './forms.js';
import { OPERATION_LETTERS, valueColumn } from './log-table-sql.js';

/** What a batch holds beside its rows. */
export interface LogBatch {
  /** Outbox rows. */
  readonly events: number;
  /** Those of them that say that something changed, and not what. */
  readonly unknown: number;
  /** Rows that are sent: without changes that the snapshot of the beginning has. */
  readonly rows: number;
  /** The highest number of one of them, decimal; null where there is none. */
  readonly last: string | null;
  readonly forms: readonly number[];
  /** Whether rows of the snapshot are among them. */
  readonly hasSnapshot: boolean;
  /** Whether all that the snapshot of the transaction shows is on disk: see `IS_FLUSHED`. */
  readonly flushed: boolean;
}

const IS_SENT = /* sql */ `event.mark is null and (event.op = 'r' or not pg_visible_in_snapshot(event.tx, log.seen))`;
/** Rows of the snapshot are before all changes. */
const NUMBER = /* sql */ `case when event.op = 'r' then - event.seq else event.seq end`;

function fromSql(id: string, batch: OutboxBatch): string {
  const log = /* sql */ `(select t.seen from pg2click.wal_table t where t.table_id = ${literal(id)}) log`;
  return eventsSql(id, batch).replace(' event\n', ` event cross join ${log}\n`);
}

/** One row of `LogBatch`. */
export function logBatchSql(id: string, batch: OutboxBatch): string {
  return /* sql */ `select count(*)::int as events, (count(*) filter (where event.mark = 'x'))::int as unknown,
      (count(*) filter (where ${IS_SENT}))::int as rows, (max(${NUMBER}) filter (where ${IS_SENT}))::text as last,
      coalesce(array_agg(distinct event.form) filter (where event.form is not null), '{}') as forms,
      coalesce(bool_or(event.op = 'r'), false) as "hasSnapshot",
      pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn() as flushed
    ${fromSql(id, batch)}`;
}

/** A form of a batch, and where it has the values of a column. */
export interface PlacedForm extends Pick<Form, 'form'> {
  /** By attribute number: the number of the column of the outbox. */
  readonly places: ReadonlyMap<number, number>;
}

/** The rows of a batch as COPY text, with the columns of `appendColumns` in their order. */
export function logSql(table: ReadTable, batch: OutboxBatch, forms: readonly PlacedForm[]): string {
  const values = loggedColumns(table).map((column, index) => {
    const value = valueSql(column, forms);
    const name = `c${index + 1}`;
    if (value === undefined) return { select: 'null', copy: takesNull(column) ? 'null' : columnType(column).absent };
    const type = columnType(column);
    const copied = type.copy(`change.${name}`);
    return { select: value, name, copy: takesNull(column) ? copied : `coalesce(${copied}, ${type.absent})` };
  });
  const selected = values.flatMap(({ select, name }) => (name === undefined ? [] : [`${select} as ${name}`]));
  const operations = OPERATION_LETTERS.map((letter, index) => `when '${letter}' then '${LOG_OPERATIONS[index]}'`);
  return /* sql */ `copy (
    select ${[
      ...values.map(({ copy }) => copy),
      `case change.op ${operations.join(' ')} end`,
      'change.number',
      `change.lsn - '0/0'::pg_lsn`,
      `change.at at time zone 'UTC'`,
      'change.tx',
    ].join(', ')}
    from (
      select ${[`${NUMBER} as number`, 'event.op, event.lsn, event.at, event.tx', ...selected].join(', ')}
      ${fromSql(table.id, batch)} and ${IS_SENT}
      order by event.seq
    ) change
  ) to stdout`;
}

/** @returns undefined where no form has the column */
function valueSql({ position }: Column, forms: readonly PlacedForm[]): string | undefined {
  const places = forms.map(({ form, places: byPosition }) => ({ form, place: byPosition.get(position) }));
  const [first] = places;
  if (first === undefined || places.every(({ place }) => place === undefined)) return undefined;
  if (first.place !== undefined && places.every(({ place }) => place === first.place))
    return `event.${valueColumn(first.place)}`;
  const cases = places.flatMap(({ form, place }) =>
    place === undefined ? [] : [`when ${form} then event.${valueColumn(place)}`],
  );
  return `case event.form ${cases.join(' ')} end`;
}
