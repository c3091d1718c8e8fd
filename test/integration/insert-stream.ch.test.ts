import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { insertStream } from '../../src/clickhouse/insert-stream.js';
import { liveInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { insertText } from '../../src/clickhouse/insert-text.js';
import { createTarget } from '../../src/clickhouse/target.js';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { column, openSink, rowsOf, targetTableOf } from '../support/sink.js';
import { openWire } from '../support/wire.js';

const sink = await openSink('stream');
const { ch, database } = sink;
const VERSION = composeVersion(1, 7n);
const options = { signal: new AbortController().signal, attempt: 1 };

async function newTarget(): Promise<{ replica: TargetTable; table: string }> {
  const replica = targetTableOf(sink, [column('id', 'bigint'), column('v', 'text')]);
  await createTarget(ch, replica);
  const table = `${database}.${replica.target.table}`;
  await ch.command({ query: `system stop merges ${table}` });
  return { replica, table };
}

function* lines(count: number, v = 'a value'): Generator<Buffer> {
  for (let id = 0; id < count; id += 1) yield Buffer.from(`${id}\t${v}\t${VERSION}\t0\n`);
}
const bytes = (source: Iterable<Buffer> | AsyncIterable<Buffer>): Readable =>
  Readable.from(source, { objectMode: false });

/** Inserts into the table: parts that were never merged. */
const partsOf = (replica: TargetTable): Promise<{ rows: string; bytes: string }[]> =>
  rowsOf(
    sink,
    `select toString(rows) as rows, toString(data_uncompressed_bytes) as bytes from system.parts
      where active and database = '${database}' and table = '${replica.target.table}'`,
  );

test('a live batch of 20,000 rows is one part', async () => {
  const { replica } = await newTarget();
  const inserted = await insertStream(ch, replica, bytes(lines(20_000)), options);
  expect(inserted.rows).toBe(20_000);
  expect(await partsOf(replica)).toMatchObject([{ rows: '20000' }]);
});

test('rows are not counted again where their source says how many have come', async () => {
  const { replica } = await newTarget();
  const counted = Object.assign(bytes(lines(100)), { rows: 100 });
  expect((await insertStream(ch, replica, counted, options)).rows).toBe(100);
  const empty = Object.assign(bytes([]), { rows: 0 });
  expect((await insertStream(ch, replica, empty, options)).rows).toBe(0);
});

test('a very large one comes in several blocks, so that none of them fills the memory of ClickHouse', async () => {
  const { replica } = await newTarget();
  const wide = 'x'.repeat(200_000);
  const inserted = await insertStream(ch, replica, bytes(lines(500, wide)), options);
  expect(inserted).toMatchObject({ rows: 500 });
  const parts = await partsOf(replica);
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.reduce((sum, { rows }) => sum + Number(rows), 0)).toBe(500);
  for (const part of parts) expect(Number(part.bytes)).toBeLessThan(80 * 1024 * 1024);
});

test('of a batch whose source breaks off nothing is there', async () => {
  const { replica } = await newTarget();
  async function* broken(): AsyncGenerator<Buffer> {
    yield* lines(10_000);
    await pause(100);
    throw new Error('the source broke off');
  }
  await expect(insertStream(ch, replica, bytes(broken()), options)).rejects.toThrow('the source broke off');
  expect(await partsOf(replica)).toEqual([]);
});

test('a batch without rows, as after a TRUNCATE alone, is inserted too', async () => {
  const { replica } = await newTarget();
  expect(await insertStream(ch, replica, bytes([]), options)).toEqual({ rows: 0, bytes: 0 });
  expect(await partsOf(replica)).toEqual([]);
});

test('a source that is slow is waited for, however long ClickHouse may be silent', async () => {
  const { replica } = await newTarget();
  async function* slow(): AsyncGenerator<Buffer> {
    for (const line of lines(4)) {
      await pause(1_000);
      yield line;
    }
  }
  const text = { signal: options.signal, settings: liveInsertSettings(ch), timeoutMs: 900 };
  expect((await insertText(ch, replica, bytes(slow()), text)).rows).toBe(4);
});

test('a ClickHouse that takes the rows and gives no answer is given up, and said so', async () => {
  const wire = await openWire(sink);
  const { replica } = await newTarget();
  const settings = liveInsertSettings(wire.ch);
  await settings;
  wire.next = { kind: 'stall' };
  const text = { signal: options.signal, settings, timeoutMs: 1_000 };
  await expect(insertText(wire.ch, replica, bytes(lines(10)), text)).rejects.toMatchObject({
    kind: 'SinkUnavailable',
    message: expect.stringContaining('gave no answer within 1 s while inserting into') as string,
  });
});
