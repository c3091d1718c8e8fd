import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDeps, type Deps } from '../../activities/deps.js';
import { connectPostgres, type PostgresClient } from '../../src/connect/postgres.js';
import { findTable } from '../../src/ledger/tables.js';
import { readDeployment } from '../../src/source/deployment.js';
import { readWalBacklog } from '../../src/source/wal/backlog.js';
import { keepReading } from '../../src/source/wal/keep-reading.js';
import { PendingChanges } from '../../src/source/wal/pending-changes.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';
import { readSlotOnce } from '../../src/source/wal/read-slot.js';
import { TEXT, Tuple } from '../../src/source/wal/tuple.js';
import { HeldByTable } from '../../src/source/wal/held-by-table.js';
import { parseLsn } from '../../src/source/wal/lsn.js';
import { Reading } from '../../src/source/wal/reading.js';
import type { ReplicationStream } from '../../src/source/wal/replication-stream.js';
import { waitUntilRead } from '../../src/source/wal/wait-until-read.js';
import { waitUntilVisible } from '../../src/source/wal/visible.js';
import { writeKeys } from '../../src/source/wal/write-keys.js';
import { createLogger } from '../../src/observe/log.js';
import { openPath, type Path } from '../support/path.js';
import { waitFor } from '../support/stack.js';

const DEADLINE = { deadlineMs: 20_000 } as const;

let path: Path;
let other: Deps;
let slot: string;
let outbox: string;

beforeAll(async () => {
  path = await openPath({ wal: true });
  other = openDeps(path.settings, createLogger(path.settings.log));
  await path.source.query('create table orders (id int primary key)');
  const followed = await path.add('orders', { capture: 'wal', transport: 'direct' });
  outbox = `pg2click.outbox_${followed.receipt.id}`;
  slot = `pg2click_${(await readDeployment(path.source, path.settings.pipeline)).id}`;
});
afterAll(async () => {
  await other.close();
  await path.close();
});

const count = async (sql: string): Promise<number> => (await path.source.query(sql)).rowCount ?? 0;
const keys = async (): Promise<string[]> =>
  (await path.source.query<{ k: string }>(`select k1::text as k from ${outbox} order by seq`)).rows.map(({ k }) => k);

describe('one reads a slot', () => {
  it('and another one takes over where it ends', async () => {
    const reading = path.deps.wal.of(slot).hold();
    const standing = other.wal.of(slot).hold();
    await path.source.query('insert into orders values (1)');
    await waitFor(async () => (await keys()).length === 1, { ...DEADLINE, what: 'the first key' });
    const first = await path.source.query<{ pid: number }>(
      `select active_pid as pid from pg_replication_slots where slot_name = '${slot}'`,
    );
    await path.source.query(`select pg_terminate_backend(${first.rows[0]?.pid})`);
    await path.source.query('insert into orders values (2)');
    await waitFor(async () => (await keys()).length === 2, { ...DEADLINE, what: 'the second key' });
    await path.deps.wal.close();
    await path.source.query('insert into orders values (3)');
    await waitFor(async () => (await keys()).length === 3, { ...DEADLINE, what: 'the third key' });
    expect(await keys()).toEqual(['1', '2', '3']);
    reading[Symbol.dispose]();
    standing[Symbol.dispose]();
    await other.wal.close();
  });

  it('and finds it taken while somebody does', async () => {
    const stop = new AbortController();
    const read = (signal: AbortSignal, onStarted = () => undefined as void) =>
      readSlotOnce({
        slot,
        source: path.source,
        slots: path.source,
        connect: (name, options) => connect(name, options?.replication === true),
        signal,
        onStarted,
        onReached: () => undefined,
        isWanted: () => false,
        handOvers: new HandOvers(),
      });
    let begun = (): void => undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    const reading = read(stop.signal, begun);
    await started;
    expect(await read(stop.signal)).toBe('busy');
    // Who adds or removes a table raises the epoch: the reader may note nothing any more.
    await path.source.query(`update pg2click.wal_reader set epoch = epoch + 1; insert into orders values (4)`);
    await expect(reading).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await keys()).toEqual(['1', '2', '3']);
    stop.abort();
  });

  /** As the role of the worker. */
  async function connect(name: string, replication: boolean): Promise<PostgresClient> {
    return connectPostgres(path.settings, { name, replication });
  }
});

it('a slot is read while a table is behind it, also where no slice runs', async () => {
  const deps = openDeps(path.settings, createLogger(path.settings.log));
  const stop = new AbortController();
  const reading = keepReading(deps, stop.signal, 50);
  await path.source.query('insert into orders values (5)');
  await waitFor(async () => (await keys()).includes('5'), { ...DEADLINE, what: 'the key' });
  stop.abort();
  await reading;
  await deps.close();
});

it('a reader that could not read tries again before a table is told so: what it saw last may be mended', async () => {
  const deps = openDeps(path.settings, createLogger(path.settings.log));
  const reader = deps.wal.of(slot);
  const reading = reader.hold();
  const may = async (what: string): Promise<unknown> =>
    path.source.query(`alter role ${path.settings.postgres.user} ${what}`);
  const stopReading = `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '${slot}' and active`;
  await waitFor(() => Promise.resolve(reader.hasReached(1n)), { ...DEADLINE, what: 'it reads' });
  await may('noreplication');
  await path.source.query(stopReading);
  await waitFor(
    () =>
      reader.requireReading().then(
        () => false,
        () => true,
      ),
    { ...DEADLINE, what: 'it may not read' },
  );
  await expect(reader.requireReading()).rejects.toMatchObject({
    kind: 'Unauthorized',
    message: expect.stringContaining('takes the attribute REPLICATION') as string,
    remedy: expect.stringContaining('postgres-wal.sql') as string,
  });
  await may('replication');
  await reader.requireReading();
  reading[Symbol.dispose]();
  await deps.close();
});

it('what could not be written is not taken for read, whatever PostgreSQL sends before the connection ends', async () => {
  const { user } = path.settings.postgres;
  const found = await path.source.query<{ position: string; relation: number; xid: number }>(
    `select position::text, 'orders'::regclass::oid::int8::float8 as relation,
      (pg_snapshot_xmin(pg_current_snapshot())::text::int8 - 1)::float8 as xid from pg2click.wal_reader`,
  );
  const { position = '', relation = 0, xid = 0 } = found.rows[0] ?? {};
  const [commit, end] = [parseLsn(position) + 1_000n, parseLsn(position) + 2_000n];
  const reached: bigint[] = [];
  await using writing = await connectPostgres(path.settings, { name: 'wal keys' });
  const reading = new Reading(
    {
      slot,
      source: path.deps.source,
      slots: path.deps.source,
      connect: (name) => connectPostgres(path.settings, { name }),
      signal: new AbortController().signal,
      onStarted: () => undefined,
      onReached: (each) => reached.push(each),
      isWanted: () => false,
      handOvers: new HandOvers(),
    },
    writing,
  );
  reading.begin({ report: () => undefined, reportReceived: () => undefined } as unknown as ReplicationStream);
  reading.started();
  await path.source.query(`revoke insert on ${outbox} from ${user}`);
  const [of, at] = [number(relation, 4), number(0n, 8)];
  const column = [Buffer.from([1]), text('id'), number(23, 4), number(0xffff_ffff, 4)];
  for (const message of [
    [Buffer.from('B'), number(commit, 8), at, number(xid, 4)],
    [Buffer.from('R'), of, text('public'), text('orders'), Buffer.from('d'), number(1, 2), ...column],
    [Buffer.from('I'), of, Buffer.from('N'), number(1, 2), Buffer.from('t'), number(2, 4), Buffer.from('20')],
    [Buffer.from('C'), Buffer.from([0]), number(commit, 8), number(end, 8), at],
  ])
    await reading.change(Buffer.concat(message), 0);
  await expect(reading.failed).rejects.toBeInstanceOf(HeldByTable);
  await reading.keepalive(end, false);
  expect(reached.filter((each) => each >= commit)).toEqual([]);
  await path.source.query(`grant insert on ${outbox} to ${user}`);

  function number(value: bigint | number, bytes: 2 | 4 | 8): Buffer {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64BE(BigInt(value));
    return buffer.subarray(8 - bytes);
  }
  function text(value: string): Buffer {
    return Buffer.from(`${value}\0`);
  }
});

it('that a position was read is known also where another worker reads, and nothing comes', async () => {
  const reader = openDeps(path.settings, createLogger(path.settings.log));
  const reading = reader.wal.of(slot).hold();
  await waitFor(() => Promise.resolve(reader.wal.of(slot).hasReached(1n)), {
    ...DEADLINE,
    what: 'the other one reads',
  });
  const said = new Set<string>();
  await waitUntilRead(path.deps, await ownTable(), {
    signal: AbortSignal.timeout(DEADLINE.deadlineMs),
    onWait: (what) => said.add(what),
  });
  expect([...said]).toEqual([expect.stringMatching(/^the WAL is read up to/u)]);
  reading[Symbol.dispose]();
  await reader.close();

  async function ownTable() {
    const table = await findTable(path.ledger, path.settings.pipeline, { schema: 'public', table: 'orders' });
    if (table === undefined) throw new Error('the table is not there');
    return table;
  }
});

it('how much waits is not known where the slot is gone: the outbox is empty, and nobody fills it', async () => {
  const path = await openPath({ wal: true });
  await path.source.query('create table gone (id int primary key)');
  await path.add('gone', { capture: 'wal', transport: 'direct' });
  const table = await findTable(path.ledger, path.settings.pipeline, { schema: 'public', table: 'gone' });
  if (table === undefined) throw new Error('the table is not there');
  const waiting = async (): Promise<number | null | undefined> =>
    (await readWalBacklog(path.source, [{ id: table.id, table, lowWater: '0', position: null }])).get(table.id)
      ?.waiting;
  expect(await waiting()).toBe(0);
  await path.source.query(
    'select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()',
  );
  expect(await waiting()).toBeNull();
  await path.close();
});

describe('keys', () => {
  it('are not written before everybody sees what changed them', async () => {
    const writer = await path.session();
    await writer.query('begin; insert into orders values (10)');
    const found = await writer.query<{ xid: number }>(`select pg_current_xact_id()::text::bigint % 4294967296 as xid`);
    let isVisible = false;
    const waiting = waitUntilVisible(path.source, [Number(found.rows[0]?.xid)], {
      signal: new AbortController().signal,
    }).then(() => (isVisible = true));
    expect(await count('select from orders where id = 10')).toBe(0);
    expect(isVisible).toBe(false);
    await writer.query('commit');
    await waiting;
    expect(await count('select from orders where id = 10')).toBe(1);
  });

  it('that do not fit are a mark, and those of other tables are written with it', async () => {
    await path.source.query('create table others (id int primary key)');
    const followed = await path.add('others', { capture: 'wal', transport: 'direct' });
    const pending = new PendingChanges();
    const add = (id: string, value: string): void => {
      const tuple = new Tuple();
      // As PostgreSQL sends it: one column, a text.
      const row = Buffer.from([0, 1, TEXT, 0, 0, 0, value.length, ...Buffer.from(value)]);
      tuple.read(row, 0);
      pending.linesOf(id, 1).add(row, tuple, [0]);
    };
    add(outbox.replace('pg2click.outbox_', ''), 'large');
    add(followed.receipt.id, '7');
    const client = await path.session();
    const row = await path.source.query<{ epoch: string }>('select epoch::text from pg2click.wal_reader');
    await writeKeys({ pg: client, slot, epoch: row.rows[0]?.epoch ?? '' }, pending, {
      signal: new AbortController().signal,
    });
    expect(await count(`select from ${outbox} where mark = 'x'`)).toBe(1);
    expect(await count(`select from pg2click.outbox_${followed.receipt.id} where k1 = 7`)).toBe(1);
  });
});
