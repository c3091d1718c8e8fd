import { Readable } from 'node:stream';
import { buffer, text as readText } from 'node:stream/consumers';
import type pg from 'pg';
import type { ClickHouseClient } from '@clickhouse/client';
import { liveInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { avroColumns } from '../../src/avro/avro-type.js';
import { decodeRecords } from '../../src/avro/decode-records.js';
import { RecordWriter } from '../../src/avro/record-writer.js';
import type { MessagePlace, OutboxBatch } from '../../src/domain/batch.js';
import type { Change, Changes } from '../../src/domain/change.js';
import { targetColumns } from '../../src/domain/column-type.js';
import { quoteCh } from '../../src/domain/identifier.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { EnvelopeReader } from '../../src/debezium/own-envelope.js';
import { EnvelopeEncoder } from '../../src/messages/envelope.js';
import type { RowContent } from '../../src/pipeline/row-batch.js';
import { byKeySql, KEY_TYPES, SET_KEYS } from '../../src/source/by-key/by-key-sql.js';
import { copyOut } from '../../src/source/copy/copy-out.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { streamBatch } from '../../src/source/outbox/stream.js';
import { linesSql, streamSql } from '../../src/source/poll/rows-sql.js';
import { DrainLines } from '../../src/source/outbox/drain-lines.js';
import type { PollBatch } from '../../src/source/poll/position.js';
import { BEGIN_READING } from '../../src/source/session.js';
import { allocatePosition } from '../../src/source/settle.js';
import { nameBatch } from './source-table.js';
import { spanOf, textOf } from './spans.js';

/** What a road brings to ClickHouse. */
export interface Brought {
  readonly format: 'TabSeparated' | 'JSONEachRow';
  readonly body: string;
}

export type Road = (pg: pg.Client, table: ReplicatedTable) => Promise<Brought>;

const signal = (): AbortSignal => AbortSignal.timeout(20_000);

/** The values of the changes of an outbox, as they go into a topic. The outbox is left as it is. */
async function drained(pg: pg.Client, table: ReplicatedTable, rows: RowContent['rows']): Promise<string[]> {
  return (await drainedChanges(pg, table, rows)).map(({ value }) => textOf(value));
}

async function drainedChanges(pg: pg.Client, table: ReplicatedTable, rows: RowContent['rows']): Promise<Change[]> {
  const batch = (await nameBatch(pg, table)) as OutboxBatch;
  const all: Change[] = [];
  const reading = readBatch(pg, table, batch, { signal: signal(), rows });
  for await (const changes of reading.changes) all.push(...changes);
  return all;
}

const ALL: PollBatch = { batch: 1, generation: 1, shape: 1, ids: [['0', '1000000']], upTo: '1000000', at: 0 };

/** The table as one that is polled by its key. */
const polled = (table: ReplicatedTable): ReplicatedTable => ({
  ...table,
  route: { ...table.route, capture: { kind: 'poll', cursor: table.key[0], sequence: { oid: '0' } } as never },
});

async function inReading(pg: pg.Client, sql: string): Promise<Buffer> {
  await pg.query(BEGIN_READING);
  const rows = await buffer(copyOut(pg, sql));
  await pg.query('commit');
  return rows;
}

async function polledChanges(pg: pg.Client, table: ReplicatedTable, rows: RowContent['rows']): Promise<Changes> {
  return new DrainLines(rows).feed(await inReading(pg, linesSql(polled(table), ALL, { rows, key: true })));
}

async function polledValues(pg: pg.Client, table: ReplicatedTable, rows: RowContent['rows']): Promise<string> {
  return [...(await polledChanges(pg, table, rows))].map(({ value }) => `${textOf(value)}\n`).join('');
}

/** Lines of COPY text, written as records and read again by the loader. */
function throughAvro(table: ReplicatedTable, lines: readonly string[]): string {
  const writer = new RecordWriter(1, avroColumns(table));
  const values = lines.map((line) => {
    const { bytes, start, end } = writer.row(spanOf(line));
    return Buffer.from(bytes.subarray(start, end));
  });
  const placeOf = (): MessagePlace => ({ partition: 0, offset: 0 });
  return decodeRecords(table, { values, shape: table.shape, placeOf }, 'topic')
    .values.map((line) => `${line.toString()}\n`)
    .join('');
}

/** The values of the format `debezium`, as the loader reads them again. */
function throughEnvelopes(table: ReplicatedTable, changes: Iterable<Change>): string {
  const encoder = new EnvelopeEncoder({ partitions: 1, from: { ...FROM, ...table.name } });
  const reader = new EnvelopeReader(table.columns);
  const lines: string[] = [];
  for (const change of changes)
    encoder.add(change, ({ value }) => {
      if (value !== null) lines.push(`${reader.line(Buffer.from(textOf(value))).toString()}\n`);
    });
  return lines.join('');
}

const FROM = { pipeline: 'p', database: 'd', appendOnly: false };

/** Every way of a row to ClickHouse. Those of the outbox take a tombstone where it is gone. */
export const OUTBOX_ROADS = {
  'drain, json': async (pg, table) => ({
    format: 'JSONEachRow',
    body: (await drained(pg, table, 'json')).map((value) => `${value}\n`).join(''),
  }),
  'drain, packed': async (pg, table) => ({
    format: 'TabSeparated',
    body: (await drained(pg, table, 'text')).map((value) => `${value}\n`).join(''),
  }),
  'drain, avro': async (pg, table) => ({
    format: 'TabSeparated',
    body: throughAvro(table, await drained(pg, table, 'text')),
  }),
  'drain, debezium': async (pg, table) => ({
    format: 'JSONEachRow',
    body: throughEnvelopes(table, await drainedChanges(pg, table, 'envelope')),
  }),
  direct: async (pg, table) => {
    const batch = (await nameBatch(pg, table)) as OutboxBatch;
    const { rows } = await streamBatch(pg, table, batch, { signal: signal(), ensureFlushed: () => Promise.resolve() });
    const body = await readText(rows);
    await pg.query('commit');
    return { format: 'TabSeparated', body };
  },
  'by key': async (pg, table) => {
    const keys = await drained(pg, table, 'keys');
    await pg.query(BEGIN_READING);
    const { rows } = await pg.query<{ type: string }>(KEY_TYPES, [table.relation, table.key]);
    await pg.query(SET_KEYS, [`[${keys.join(',')}]`]);
    const sql = byKeySql(table, { types: rows.map(({ type }) => type), names: table.key, shape: 1 });
    const body = await readText(copyOut(pg, sql));
    await pg.query('commit');
    return { format: 'TabSeparated', body };
  },
} as const satisfies Readonly<Record<string, Road>>;

export const ROADS: Readonly<Record<string, Road>> = {
  copy: async (pg, table) => {
    const rows = copyRows(pg, table, await allocatePosition(pg, table.id), { signal: signal() });
    return { format: 'TabSeparated', body: await readText(rows) };
  },
  ...OUTBOX_ROADS,
  'poll, json': async (pg, table) => ({ format: 'JSONEachRow', body: await polledValues(pg, table, 'json') }),
  'poll, packed': async (pg, table) => ({ format: 'TabSeparated', body: await polledValues(pg, table, 'text') }),
  'poll, debezium': async (pg, table) => ({
    format: 'JSONEachRow',
    body: throughEnvelopes(table, await polledChanges(pg, table, 'envelope')),
  }),
  'poll, direct': async (pg, table) => {
    const rows = await inReading(pg, streamSql(polled(table), ALL, { versions: true }));
    return { format: 'TabSeparated', body: rows.toString() };
  },
};

/** A table of ClickHouse for the rows of `table`. */
export async function makeTarget(
  ch: ClickHouseClient,
  table: ReplicatedTable,
  name: string,
  engine = `ReplacingMergeTree(_version, _deleted) order by (${table.key.map(quoteCh).join(', ')})`,
): Promise<void> {
  const columns = targetColumns(table).map((column) => `${quoteCh(column.name)} ${column.type}`);
  await ch.command({ query: `create table ${name} (${columns.join(', ')}) engine = ${engine}` });
}

/** Inserts as the product does. */
export async function bring(ch: ClickHouseClient, target: string, { format, body }: Brought): Promise<void> {
  const { stream } = await ch.exec({
    query: `insert into ${target} format ${format}`,
    values: Readable.from([Buffer.from(body)], { objectMode: false }),
    clickhouse_settings: await liveInsertSettings(ch),
  });
  for await (const _ of stream);
}
