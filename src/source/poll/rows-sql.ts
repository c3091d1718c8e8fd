import { byPosition, columnType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { versionSql } from '../../domain/version.js';
import type { RowContent, StreamContent } from '../../pipeline/row-batch.js';
import { keyObject, rowEnvelope } from '../outbox/envelope-sql.js';
import { keyOf } from '../outbox/drain-keys.js';
import { ownRows } from '../outbox/names.js';
import { rowJson } from '../outbox/row-json.js';
import { readRuns, type IdRun } from './id-runs.js';
import type { PollBatch } from './position.js';
import { pollSpecOf } from './poll-table.js';

type PolledTable = Pick<ReplicatedTable, 'name' | 'columns' | 'where' | 'shape' | 'key' | 'generation' | 'route'>;

/** In the place of a key that nobody needs. */
const NO_KEY = '-';

/** COPY text of the rows of a batch, straight for ClickHouse. */
export function streamSql(table: PolledTable, batch: PollBatch, { versions }: StreamContent): string {
  return copySql(table, batch, [...rowText(table), ...(versions ? [version(table, batch), '0'] : [])]);
}

/** The same for a topic, one line a row as `DrainLines` cuts them: seq, events, key, row. The id is the seq. */
export function linesSql(table: PolledTable, batch: PollBatch, { rows, key }: RowContent): string {
  const { cursor } = pollSpecOf(table);
  const row = {
    json: () => [rowJson(table.columns, version(table, batch))],
    envelope: () => [rowEnvelope(table.columns, version(table, batch))],
    text: () => [...rowText(table), version(table, batch), '0'],
    keys: () => {
      throw new TypeError('rows that never change are not sent as keys');
    },
  }[rows]();
  const head = key ? keyJson(table, rows) : `'${NO_KEY}'`;
  return copySql(table, batch, [`source.${quotePg(cursor)}`, '1', head, ...row]);
}

/** A line for `DrainLines` that hides every row of an older generation: a TRUNCATE, below all ids. */
export function markLine(floor: bigint): Buffer {
  return Buffer.from(`0\t0\t{"_version":"${floor}"}\t\n`);
}

/** By the ranges of the name and in their order: each is a search in the index. One alone, as most are, costs 1 us a row less. */
function copySql(table: PolledTable, batch: PollBatch, columns: readonly string[]): string {
  const id = quotePg(pollSpecOf(table).cursor);
  const runs = readRuns(batch.ids);
  const [first] = runs;
  const rows =
    first !== undefined && runs.length === 1
      ? `${ownRows(table)} source where source.${id} between ${first.first} and ${first.last} order by source.${id}`
      : `${runsSql(runs)} cross join lateral (
          select * from ${ownRows(table)} row
          where row.${id} between run.first and run.last order by row.${id}
        ) source`;
  return /* sql */ `copy (select ${columns.join(', ')} from ${rows}) to stdout`;
}

/** Runs as a relation `run (first, last)`. */
export function runsSql(runs: readonly IdRun[]): string {
  const array = (ids: readonly bigint[]): string => `'{${ids.join()}}'::bigint[]`;
  return `unnest(${array(runs.map(({ first }) => first))}, ${array(runs.map(({ last }) => last))}) run (first, last)`;
}

function version({ route, shape }: PolledTable, { generation }: PollBatch): string {
  return versionSql(generation, `source.${quotePg(pollSpecOf({ route }).cursor)}`, shape);
}

function rowText({ columns }: PolledTable): string[] {
  return byPosition(columns).map((column) => columnType(column).copy(`source.${quotePg(column.name)}`));
}

function keyJson(table: PolledTable, rows: RowContent['rows']): string {
  const value = ({ name }: Column): string => `source.${quotePg(name)}`;
  const key = keyOf(table);
  if (rows === 'envelope') return keyObject(key, value);
  const values = key.map((column) => columnType(column).exactJson(value(column)));
  return `${literal('[')} || ${values.join(` || ',' || `)} || ${literal(']')}`;
}
