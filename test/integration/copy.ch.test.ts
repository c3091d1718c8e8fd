import { PassThrough, Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { insertCopy } from '../../src/clickhouse/insert-copy.js';
import { createTarget } from '../../src/clickhouse/target.js';
import { column, openSink, targetTableOf, rowsOf } from '../support/sink.js';
import { waitFor } from '../support/stack.js';
import { openWire } from '../support/wire.js';

const sink = await openSink('copy');
const wire = await openWire(sink);
const { ch, database } = sink;
const VERSION = composeVersion(1, 7n);
const never = new AbortController().signal;

async function newTarget(): Promise<{ replica: TargetTable; table: string }> {
  const replica = targetTableOf(sink, [column('id', 'bigint'), column('v', 'text')]);
  await createTarget(ch, replica);
  const table = `${database}.${replica.target.table}`;
  await ch.command({ query: `system stop merges ${table}` });
  return { replica, table };
}

const line = (id: number, v = `value ${id}`): string => `${id}\t${v}\t${VERSION}\t0\n`;
const countOf = async (table: string): Promise<number> =>
  Number((await rowsOf<{ n: number }>(sink, `select count() as n from ${table}`))[0]?.n);

/** Rows for ever, as from a socket: only the other side can end it. */
function endless(): Readable & { rows: number } {
  let rows = 0;
  const stream = new Readable({
    read() {
      // Pushing at once would never give the event loop back.
      setImmediate(() => {
        const lines = Array.from({ length: 500 }, (_, index) => line(rows + index));
        rows += lines.length;
        this.push(lines.join(''));
      });
    },
  });
  return Object.defineProperty(stream, 'rows', { get: () => rows }) as Readable & { rows: number };
}

const within = async <T>(promise: Promise<T>, ms: number): Promise<T> =>
  await Promise.race([
    promise,
    new Promise<never>((_resolve, reject) => setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms).unref()),
  ]);

test('a copy counts rows and bytes, however the bytes are cut into chunks', async () => {
  const { replica, table } = await newTarget();
  const text = Array.from({ length: 5_000 }, (_, id) => line(id, `line one\\nline two of ${id} é`)).join('');
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 37) }, (_, n) => bytes.subarray(n * 37, n * 37 + 37));
  const progress: number[] = [];
  const copied = await insertCopy(ch, replica, Readable.from(pieces, { objectMode: false }), {
    signal: never,
    onProgress: (rows) => progress.push(rows),
  });
  expect(copied).toEqual({ rows: 5_000, bytes: bytes.length });
  expect(await countOf(table)).toBe(5_000);
  expect(await rowsOf(sink, `select v from ${table} where id = 3`)).toEqual([{ v: 'line one\nline two of 3 é' }]);
});

test('a copy of no rows is nothing', async () => {
  const { replica, table } = await newTarget();
  expect(await insertCopy(ch, replica, Readable.from([], { objectMode: false }), { signal: never })).toEqual({
    rows: 0,
    bytes: 0,
  });
  expect(await countOf(table)).toBe(0);
});

test('a copy names its columns, so the order of a table that a user made does not matter', async () => {
  const replica = targetTableOf(sink, [column('id', 'bigint'), column('v', 'text')]);
  const table = `${database}.${replica.target.table}`;
  await ch.command({
    query: `create table ${table} (_deleted UInt8, v String, _version UInt128, loaded DateTime default now(), id Int64)
      engine = ReplacingMergeTree(_version, _deleted) order by id`,
  });
  await createTarget(ch, replica);
  await insertCopy(ch, replica, Readable.from([line(5, 'five')], { objectMode: false }), { signal: never });
  expect(await rowsOf(sink, `select id, v from ${table}_current`)).toEqual([{ id: 5, v: 'five' }]);
});

test('a copy is repeated without harm, and anew after the table was emptied by hand', async () => {
  const { replica, table } = await newTarget();
  const copy = (): Promise<unknown> =>
    insertCopy(ch, replica, Readable.from([line(1), line(2)], { objectMode: false }), { signal: never });
  await copy();
  await copy();
  expect(await rowsOf(sink, `select id from ${table}_current order by id`)).toEqual([{ id: 1 }, { id: 2 }]);
  await ch.command({ query: `system start merges ${table}` });
  await ch.command({ query: `alter table ${table} delete where 1 settings mutations_sync = 2` });
  expect(await countOf(table)).toBe(0);
  await copy();
  expect(await countOf(table), 'the same bytes are not taken for a repeat').toBe(2);
});

test('an error of the source ends the copy with that error, at once', async () => {
  const { replica: table } = await newTarget();
  const rows = new PassThrough();
  const gone = new Error('the source is gone');
  rows.write(line(1).repeat(10_000));
  setTimeout(() => rows.destroy(gone), 50);
  await expect(within(insertCopy(ch, table, rows, { signal: never }), 3_000)).rejects.toBe(gone);
});

test('a source that ends without an end is an error too', async () => {
  const { replica: table } = await newTarget();
  const rows = new PassThrough();
  rows.write(line(1).repeat(10_000));
  setTimeout(() => rows.destroy(), 50);
  await expect(within(insertCopy(ch, table, rows, { signal: never }), 3_000)).rejects.toMatchObject({
    kind: 'SourceUnavailable',
  });
});

test('a source that had failed before the copy began does not hang it', async () => {
  const { replica: table } = await newTarget();
  const rows = new PassThrough();
  rows.on('error', () => {});
  rows.destroy(new Error('early'));
  await expect(within(insertCopy(ch, table, rows, { signal: never }), 3_000)).rejects.toThrow('early');
});

test('the caller can give up, and then nothing reads the source any more', async () => {
  const { replica, table } = await newTarget();
  const reason = new Error('enough');
  const rows = endless();
  const abort = new AbortController();
  setTimeout(() => abort.abort(reason), 200);
  await expect(within(insertCopy(ch, replica, rows, { signal: abort.signal }), 3_000)).rejects.toBe(reason);
  expect(rows.destroyed).toBe(true);
  await waitFor(
    async (see) => {
      const running = await rowsOf(
        sink,
        `select query from system.processes where query ilike 'insert into %${replica.target.table}%'`,
      );
      see(running);
      return running.length === 0;
    },
    { deadlineMs: 10_000, what: 'the insert to end on the server' },
  );
  expect(await countOf(table)).toBeGreaterThanOrEqual(0);
  const before = endless();
  await expect(insertCopy(ch, replica, before, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(before.destroyed).toBe(true);
});

test('a server that stops reading stops the source', async () => {
  const { replica: table } = await newTarget();
  const rows = endless();
  const abort = new AbortController();
  wire.next = { kind: 'stall' };
  const copied = insertCopy(wire.ch, table, rows, { signal: abort.signal });
  copied.catch(() => undefined);
  let last = -1;
  await waitFor(
    () => {
      const still = rows.rows > 0 && rows.rows === last;
      last = rows.rows;
      return still;
    },
    { deadlineMs: 20_000, everyMs: 300, what: 'the source to be held back' },
  );
  expect(rows.rows * line(1_000).length, 'bytes buffered on the way').toBeLessThan(30_000_000);
  abort.abort(new Error('enough'));
  await expect(within(copied, 3_000)).rejects.toThrow('enough');
});

test('a refused row ends the copy, is told by place, and the source is let go', async () => {
  const { replica: table } = await newTarget();
  const rows = Readable.from(
    [line(1), `rosebud\tv\t${VERSION}\t0\n`, ...Array.from({ length: 50_000 }, (_, id) => line(id))],
    { objectMode: false },
  );
  const error = await within(
    insertCopy(ch, table, rows, { signal: never }).catch((caught: unknown) => caught),
    20_000,
  );
  expect(error).toMatchObject({ kind: 'RowRefused', message: expect.not.stringContaining('rosebud') });
  expect(rows.destroyed).toBe(true);
});

test('a refusal that comes while the source still flows is that refusal', async () => {
  const { replica: table } = await newTarget();
  const rows = endless();
  wire.next = {
    kind: 'answer',
    respond: (request, response) => {
      request.once('data', () => {
        request.pause();
        response.writeHead(400, { connection: 'close', 'x-clickhouse-exception-code': '27' });
        response.end(
          'Code: 27. DB::Exception: Cannot parse input: (at row 1) (CANNOT_PARSE_INPUT_ASSERTION_FAILED)',
          () => request.destroy(),
        );
      });
    },
  };
  await expect(within(insertCopy(wire.ch, table, rows, { signal: never }), 5_000)).rejects.toMatchObject({
    kind: 'RowRefused',
  });
  expect(rows.destroyed).toBe(true);
});

test('a connection that is cut ends the copy, and the source is let go', async () => {
  const { replica: table } = await newTarget();
  const rows = endless();
  wire.next = { kind: 'cut-request', afterBytes: 2_000_000 };
  await expect(within(insertCopy(wire.ch, table, rows, { signal: never }), 10_000)).rejects.toMatchObject({
    kind: 'SinkUnavailable',
  });
  expect(rows.destroyed).toBe(true);
});
