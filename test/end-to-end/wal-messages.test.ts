import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { openDeps } from '../../activities/deps.js';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom } from '../../dev/demo/random.js';
import type { Failure } from '../../src/failure/failure.js';
import { loadSettings } from '../../src/settings/settings.js';
import { failureOf } from '../support/failure-of.js';
import { openHarness } from '../support/harness.js';
import { connectTestKafka, freshTopicName, withAdmin } from '../support/kafka.js';
import { letReadWal } from '../support/least-role.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { openProxy } from '../../dev/network/proxy.js';
import { addressOf, freshDatabase, freshName, freshSink, waitFor } from '../support/stack.js';

/* Messages of pg_logical_emit_message, on their way from the WAL to a Kafka topic. */

const DIRECT = { capture: 'wal', transport: 'direct' } as const;
const DEADLINE = { deadlineMs: 60_000, everyMs: 50 };

interface Seen {
  readonly key: string;
  readonly content: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** All that is in the topic now. */
async function readAll(topic: string): Promise<readonly Seen[]> {
  const high = await withAdmin(async (admin) => {
    const offsets = await admin.fetchTopicOffsets(topic).catch(() => []);
    return offsets.reduce((sum, each) => sum + Number(each.high), 0);
  });
  const seen: Seen[] = [];
  if (high === 0) return seen;
  const consumer = connectTestKafka().consumer({ groupId: freshName('reader') });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: ({ message: { key, value, headers = {} } }) => {
        const texts = Object.entries(headers).map(([name, text]) => [name, String(text)] as const);
        seen.push({ key: String(key), content: value ?? Buffer.alloc(0), headers: Object.fromEntries(texts) });
        return Promise.resolve();
      },
    });
    await waitFor(() => seen.length >= high, { ...DEADLINE, what: `${high} messages` });
  } finally {
    await consumer.disconnect();
  }
  return seen;
}

const contents = async (topic: string): Promise<string[]> =>
  (await readAll(topic)).map(({ content }) => content.toString('utf8'));

/** Until the topic has a message of this content. @returns all */
async function untilSent(topic: string, content: string): Promise<readonly Seen[]> {
  return (
    (await waitFor(
      async () => {
        const seen = await readAll(topic);
        return seen.some((each) => each.content.toString() === content) ? seen : undefined;
      },
      { ...DEADLINE, what: `the message ${content}` },
    )) ?? []
  );
}

const opened: Path[] = [];
afterEach(async () => {
  for (const path of opened.splice(0)) await path.close();
});

interface Following {
  readonly path: Path;
  readonly table: string;
  readonly followed: Followed;
}

/** A table that is captured from the WAL: as long as there is one, its slot is read. */
async function follow(env: Readonly<Record<string, string>>): Promise<Following> {
  const path = await openPath({ wal: true, env });
  opened.push(path);
  const table = freshName('wal');
  await path.source.query(`create table ${table} (id int primary key, v text)`);
  const followed = await path.add(table, DIRECT);
  await followed.copy();
  await followed.direct();
  return { path, table, followed };
}

const emit = (prefix: string, content: string, isTransactional = true): string =>
  `select pg_logical_emit_message(${isTransactional}, '${prefix}', '${content}')`;

it('messages come in the order of the commits, with what is said of them; none that was rolled back, and none of ours', async () => {
  const topic = freshTopicName('messages');
  const { path, table, followed } = await follow({ PG2CLICK_WAL_MESSAGES_TOPIC: topic });
  const [late, early] = [await path.session(), await path.session()];
  await late.query(`begin; ${emit('jobs', 'late 1')}; insert into ${table} values (1, 'late')`);
  await early.query(`begin; ${emit('jobs', 'early')}; insert into ${table} values (2, 'early'); commit`);
  await late.query(`savepoint s; ${emit('jobs', 'in vain')}; rollback to s; ${emit('other', 'late 2')}; commit`);
  await early.query(`begin; ${emit('jobs', 'rolled back')}; ${emit('notes', 'at once', false)}; rollback`);
  await path.source.query(emit('pg2click', 'of ours'));
  await path.source.query(emit('pg2click', 'of ours', false));
  await path.source.query(`select pg_logical_emit_message(false, 'bytes', '\\x00ff5c0a'::bytea)`);
  await path.source.query(emit('', 'end'));
  const seen = await untilSent(topic, 'end');
  expect(seen.map(({ key, content }) => [key, content.toString('latin1')])).toEqual([
    ['jobs', 'early'],
    ['jobs', 'late 1'],
    ['other', 'late 2'],
    ['notes', 'at once'],
    ['bytes', '\u0000\u00ff\\\n'],
    ['', 'end'],
  ]);
  const lsn = expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/u) as string;
  const ofTransaction = {
    'pg2click-lsn': lsn,
    'pg2click-transactional': 'true',
    'pg2click-commit-lsn': lsn,
    'pg2click-committed-at': expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/u) as string,
    'pg2click-xid': expect.stringMatching(/^\d+$/u) as string,
  };
  expect(seen[1]?.headers).toEqual({ 'pg2click-prefix': 'jobs', ...ofTransaction });
  expect(seen[2]?.headers).toEqual({ ...seen[1]?.headers, 'pg2click-prefix': 'other', 'pg2click-lsn': lsn });
  expect(seen[3]?.headers).toEqual({
    'pg2click-prefix': 'notes',
    'pg2click-lsn': lsn,
    'pg2click-transactional': 'false',
  });
  expect(Math.abs(Date.parse(seen[0]?.headers['pg2click-committed-at'] ?? '') - Date.now())).toBeLessThan(120_000);
  expect(await followed.expectEqual()).toBe(2);
});

it('nothing is acknowledged that Kafka does not have; what was behind it arrives when Kafka is back', async () => {
  const topic = freshTopicName('messages');
  const [host = '', port] = addressOf('kafka').bootstrap.split(':');
  const proxy = await openProxy({ host, port: Number(port), kafkaPort: Number(port) });
  onTestFinished(() => proxy.close());
  const { path, table, followed } = await follow({
    PG2CLICK_WAL_MESSAGES_TOPIC: topic,
    KAFKA_BOOTSTRAP: `127.0.0.1:${proxy.port}`,
  });
  await path.source.query(emit('jobs', 'before'));
  await untilSent(topic, 'before');
  const failures: Failure[] = [];
  vi.spyOn(path.deps.log, 'warn').mockImplementation((...[fields]: unknown[]) => void failures.push(fields as Failure));
  await proxy.refuse();
  const before = await path.source.query<{ lsn: string }>(`select pg_current_wal_insert_lsn()::text as lsn`);
  await path.source.query(emit('jobs', 'while it is away', false));
  await path.source.query(`${emit('jobs', 'with a row')}; insert into ${table} values (1, 'a')`);
  await waitFor(() => failures.some(({ kind }) => kind === 'BrokerUnavailable'), { ...DEADLINE, what: 'a failure' });
  const stands = await path.source.query<{ isBefore: boolean }>(
    `select confirmed_flush_lsn <= $1::pg_lsn as "isBefore" from pg_replication_slots where database = current_database()`,
    [before.rows[0]?.lsn],
  );
  expect(stands.rows).toEqual([{ isBefore: true }]);
  await proxy.pass();
  await untilSent(topic, 'with a row');
  // Each once at least, and in their order.
  expect([...new Set(await contents(topic))]).toEqual(['before', 'while it is away', 'with a row']);
  expect(await followed.expectEqual()).toBe(1);
});

it('a worker without the setting sends them where they went; "none" ends it', async () => {
  const topic = freshTopicName('messages');
  const { path } = await follow({ PG2CLICK_WAL_MESSAGES_TOPIC: topic });
  await path.source.query(emit('jobs', 'first'));
  await untilSent(topic, 'first');
  const { PG2CLICK_WAL_MESSAGES_TOPIC: _, ...rest } = path.env;
  const readBy = async (env: Readonly<Record<string, string>>, use: () => Promise<void>): Promise<void> => {
    const deps = openDeps(loadSettings({ env, envFile: false, stackFile: false }), path.deps.log);
    const { rows } = await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader');
    using _hold = deps.wal.of(rows[0]?.slot ?? '').hold();
    try {
      await use();
    } finally {
      await deps.close();
    }
  };
  await path.deps.wal.close();
  await readBy(rest, async () => {
    await path.source.query(emit('jobs', 'by another worker'));
    await untilSent(topic, 'by another worker');
  });
  const noted = async (): Promise<unknown> =>
    (await path.source.query('select messages_topic as topic from pg2click.wal_reader')).rows[0];
  expect(await noted()).toEqual({ topic });
  await readBy({ ...rest, PG2CLICK_WAL_MESSAGES_TOPIC: 'none' }, async () => {
    const isNoted = async () => ((await noted()) as { topic: unknown }).topic === null;
    await waitFor(isNoted, { ...DEADLINE, what: 'none in the ledger' });
  });
});

it('a message that is too large for the topic parks the tables, and goes when the topic takes it; smaller ones part a send', async () => {
  const topic = freshTopicName('messages');
  const { path, table, followed } = await follow({ PG2CLICK_WAL_MESSAGES_TOPIC: topic });
  const limit = (bytes: number): Promise<void> =>
    withAdmin(async (admin) => {
      await admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: 2, name: topic, configEntries: [{ name: 'max.message.bytes', value: String(bytes) }] }],
      });
    });
  await path.source.query(emit('jobs', 'first'));
  await untilSent(topic, 'first');
  await limit(20_000);
  // 100 of 5 KB: no send of many of them is taken.
  await path.source
    .query(`select pg_logical_emit_message(true, 'jobs', repeat(i::text || ' ', 1500)) from generate_series(1000, 1099) i;
    ${emit('jobs', 'parted')}`);
  const parted = await untilSent(topic, 'parted');
  const numbers = parted.slice(1, -1).map(({ content }) => Number(content.toString('latin1', 0, 4)));
  expect([...new Set(numbers)]).toEqual(Array.from({ length: 100 }, (_, index) => 1000 + index));
  await path.source.query(`select pg_logical_emit_message(true, 'jobs', repeat('x', 30000));
    insert into ${table} values (1, 'behind it')`);
  const failure = await waitFor(
    async () => {
      const met = await failureOf(() => followed.direct()).catch(() => undefined);
      return (met as Failure | undefined)?.kind === 'MessageTooLarge' ? (met as Failure) : undefined;
    },
    { ...DEADLINE, what: 'a failure' },
  );
  expect(failure?.message).toMatch(
    new RegExp(`^A logical message of 30\\d{3} bytes, at \\S+ of the WAL or soon after it, is larger .* ${topic}`, 'u'),
  );
  await limit(100_000);
  await waitFor(async () => (await readAll(topic)).some(({ content }) => content.length === 30_000), {
    ...DEADLINE,
    what: 'the large message',
  });
  expect(await followed.expectEqual()).toBe(1);
});

it('the topic of a table is refused', async () => {
  const topic = freshTopicName('orders');
  const path = await openPath({ wal: true, env: { PG2CLICK_WAL_MESSAGES_TOPIC: topic } });
  opened.push(path);
  const table = freshName('wal');
  await path.source.query(`create table ${table} (id int primary key)`);
  const followed = await path.add(table, { capture: 'wal', topic });
  const refused = await waitFor(
    async () => {
      const met = (await failureOf(() => followed.publish()).catch(() => undefined)) as Failure | undefined;
      return met?.kind === 'Misconfigured' ? met : undefined;
    },
    { ...DEADLINE, what: 'a refusal' },
  );
  expect(refused?.message).toBe(
    `PG2CLICK_WAL_MESSAGES_TOPIC names the topic ${topic}, which is that of public.${table} of pipeline ${path.settings.pipeline}.`,
  );
  // Who takes the setting out is not refused again.
  const { rows } = await path.source.query('select messages_topic as topic from pg2click.wal_reader');
  expect(rows).toEqual([{ topic: null }]);
});

const WRITING_MS = 15_000;
const KILL_EVERY_MS = 2_000;

it('no message is lost and none is made up while the worker is killed', async () => {
  const topic = freshTopicName('messages');
  const postgres = await freshDatabase('messages');
  const addresses = {
    postgres,
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('messages'),
    temporal: addressOf('temporal'),
  };
  const harness = await openHarness(addresses, {}, { PG2CLICK_WAL_MESSAGES_TOPIC: topic });
  onTestFinished(() => harness.close());
  await letReadWal(postgres);
  const pg = await harness.connect();
  await pg.query(`create table orders (id bigint primary key, n int not null); grant select on orders to public`);
  await harness.add({ schema: 'public', table: 'orders', ...DIRECT });
  const until = Date.now() + WRITING_MS;
  const expected = new Set<string>();
  const writing = Promise.all([1, 2, 3].map(async (writer) => write(await harness.connect(), writer, until, expected)));
  let kills = 0;
  while (Date.now() < until) {
    await sleep(KILL_EVERY_MS);
    await harness.worker.kill();
    kills += 1;
    await harness.worker.start();
  }
  await writing;
  await pg.query(emit('jobs', 'end'));
  const seen = await untilSent(topic, 'end');
  const firsts = new Map(seen.map((each) => [each.content.toString(), each] as const).toReversed());
  firsts.delete('end');
  expect([...firsts.keys()].toSorted()).toEqual([...expected].toSorted());
  // Without what came again they are in the order of the WAL.
  const once = seen.filter(({ headers }, index) => !isBefore(seen, index, headers['pg2click-lsn']));
  const places = once.map(({ headers }) => placeOf(headers['pg2click-commit-lsn'] ?? headers['pg2click-lsn'] ?? ''));
  expect(places).toEqual(places.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
  console.log(JSON.stringify({ messages: expected.size, repeated: seen.length - once.length, kills }));
  for (const comparison of await harness.settle(60_000)) expect(comparison).toSatisfy(isEqual);
  expect(harness.deaths).toEqual([]);
  expect(expected.size).toBeGreaterThan(300);
}, 300_000);

function isBefore(seen: readonly Seen[], index: number, lsn: string | undefined): boolean {
  return seen.findIndex(({ headers }) => headers['pg2click-lsn'] === lsn) < index;
}

function placeOf(lsn: string): bigint {
  const [high = '0', low = '0'] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Transactions with a row and some messages, some of them rolled back, and messages of no transaction. */
async function write(pg: Client, writer: number, until: number, expected: Set<string>): Promise<void> {
  const random = seededRandom(writer);
  for (let round = 0; Date.now() < until; round++) {
    const name = `${writer}/${round}`;
    const ends = random.pick(['commit', 'commit', 'rollback']);
    await pg.query(`begin; ${emit('jobs', `${name} a`)}; insert into orders values (${writer * 1_000_000 + round}, 0);
      ${emit('notes', `${name} at once`, false)}; ${emit('jobs', `${name} b`)}; ${ends}`);
    expected.add(`${name} at once`);
    if (ends === 'commit') expected.add(`${name} a`).add(`${name} b`);
    await sleep(random.below(40));
  }
}
