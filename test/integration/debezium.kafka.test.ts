import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addLoader } from '../../activities/change-loaders.js';
import { startBackfill } from '../../activities/change-backfills.js';
import { startReplay } from '../../activities/change-replays.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { replaySlice } from '../../activities/replay-slice.js';
import type { Lease } from '../../src/connect/reading-pool.js';
import type { AcquireOptions } from '../../src/connect/semaphore.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { packageRoot } from '../../src/package-root.js';
import { recordedMessages, type RecordedMessage } from '../support/debezium-messages.js';
import { connectTestKafka, freshTopicName, withAdmin } from '../support/kafka.js';
import { openPath, type Followed, type Path } from '../support/path.js';

const FIXTURES = join(packageRoot, 'test', 'fixtures', 'debezium');
const sql = (name: string): string => readFileSync(join(FIXTURES, `${name}.sql`), 'utf8');

/** All changes. The columns of `two` change when what came before was seen: a table that was emptied and altered at once may be another one. */
async function change(...followed: readonly Followed[]): Promise<void> {
  const [first = '', second = ''] = sql('changes').split(/(?=alter table two)/u, 2);
  await path.source.query(first);
  for (const each of followed) await each.load();
  await path.source.query(second + sql('changes').slice(first.length + second.length));
}

const MESSAGES_A_SEND = 20;
/** Of columns with values that ClickHouse has no place for. */
const TEXTS: TableOptions = { policies: { d: 'text', ts: 'text', tstz: 'text', n102: 'text' } };

let path: Path;
beforeEach(async () => {
  path = await openPath();
  await path.source.query(sql('tables'));
  await path.source.query('grant select on all tables in schema public to public');
});
afterEach(() => path.close());

async function makeTopic(numPartitions = 1): Promise<string> {
  const topic = freshTopicName('debezium');
  await withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] }));
  return topic;
}

async function add(table: string, topic: string, options: TableOptions = {}): Promise<Followed> {
  const followed = await path.add(table, { capture: 'debezium', topic, ...options });
  await followed.copy();
  return followed;
}

async function send(topic: string, messages: readonly RecordedMessage[]): Promise<void> {
  const producer = connectTestKafka().producer();
  await producer.connect();
  try {
    // One send is one request, and may have 1 MB.
    for (let at = 0; at < messages.length; at += MESSAGES_A_SEND)
      await producer.send({
        topic,
        messages: messages.slice(at, at + MESSAGES_A_SEND).map(({ key, value }) => ({ key, value })),
      });
  } finally {
    await producer.disconnect();
  }
}

/** Batches that were read by key. */
function countReads(): { readonly deps: object; readonly count: () => number } {
  let reads = 0;
  const { readingByKey } = path.deps;
  const lease = (options: AcquireOptions): Promise<Lease> => {
    reads += 1;
    return readingByKey.lease(options);
  };
  return { deps: { readingByKey: { lease } }, count: () => reads };
}

/** The envelope and flat rows, with schemas and without, and all modes of numbers, times and bytes. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  envelope: ['plain', 'every_type', 'amount', 'toasty', 'two', 'fullid', 'lap'],
  flat: ['plain', 'toasty'],
  rewrite: ['plain', 'toasty'],
  text: ['plain', 'amount', 'every_type'],
  double: ['plain', 'toasty'],
};

it.each(Object.entries(WAYS))(
  'messages that Debezium wrote bring ClickHouse from what was copied to what PostgreSQL has: %s',
  async (way, tables) => {
    const followed = new Map<string, Followed>();
    for (const table of tables)
      followed.set(table, await add(table, await makeTopic(), table === 'every_type' ? TEXTS : {}));
    await change(...followed.values());
    for (const [table, { topic }] of followed) await send(topic, recordedMessages(`${way}.${table}`));
    for (const [table, each] of followed) {
      await each.settle();
      expect(await each.compare(), table).toMatchObject({ differences: [] });
    }
  },
);

it.each(['rewrite', 'double'])('a key that a message does not hold exactly is refused: numeric, %s', async (way) => {
  const followed = await add('amount', await makeTopic());
  await send(followed.topic, recordedMessages(`${way}.amount`));
  await expect(followed.load()).rejects.toMatchObject({
    kind: 'TopicReplaced',
    message: expect.stringMatching(/its key does not hold the exact value of k\.$/u) as string,
  });
});

it('values that a message holds exactly are not read from PostgreSQL', async () => {
  const topic = await makeTopic();
  const followed = await add('plain', topic);
  const messages = recordedMessages('envelope.plain').filter(({ value }) => value?.includes('unavailable') !== true);
  await change(followed);
  await send(topic, messages);
  const reads = countReads();
  while ((await followed.load(reads.deps)).batches > 0);
  expect(reads.count()).toBe(0);
  expect(await followed.sink('select count() from {target}')).not.toBe('0');
});

it('a NULL in the place of which a message without a schema has the default is read from PostgreSQL', async () => {
  await path.source.query(
    'create table preset (id int primary key, n int default 7); grant select on preset to public',
  );
  const topic = await makeTopic();
  const followed = await add('preset', topic);
  await path.source.query('insert into preset values (1, null), (2, 7)');
  await send(
    topic,
    [1, 2].map((id) => ({ key: JSON.stringify({ id }), value: JSON.stringify({ id, n: 7 }) })),
  );
  expect(await followed.expectEqual()).toBe(2);
});

it('a message that comes again does no harm in the end, and a batch that was named is read again', async () => {
  const topic = await makeTopic();
  const followed = await add('two', topic);
  await change(followed);
  const messages = recordedMessages('envelope.two');
  await send(topic, [...messages.slice(0, 18), ...messages.slice(10)]);
  let fails = true;
  const insert = path.deps.clickhouse;
  const broken = {
    sink: () => ({
      ...path.deps.sink({}),
      clickhouse: new Proxy(insert, {
        get: (target, name) => {
          if (name === 'exec' && fails) throw new Error('cut');
          return Reflect.get(target, name, target) as unknown;
        },
      }),
    }),
  };
  await followed.load(broken).catch(() => undefined);
  fails = false;
  followed.forget();
  await followed.expectEqual();
});

it('a loader that is added later, and a replay, have the same rows', async () => {
  const topic = await makeTopic();
  const followed = await add('plain', topic);
  await change(followed);
  const messages = recordedMessages('envelope.plain');
  await send(topic, messages.slice(0, 20));
  await followed.call(addLoader, { loader: { name: 'late', target: 'plain_late' } });
  while ((await followed.slice(copyTable, 'copy:late')).finished === false);
  await send(topic, messages.slice(20));
  await followed.settle();
  while ((await followed.slice(loadSlice, 'load:late')).batches > 0);
  const sum = (table: string): Promise<string> =>
    followed.sink(
      `select count(), sum(cityHash64(tuple(* except (_version, _deleted)))) from ${table} final where not _deleted`,
    );
  await followed.expectEqual();
  expect(await sum(`\`${path.settings.clickhouse.database}\`.plain_late`)).toBe(await sum('{target}'));

  await followed.sink('select 1');
  await path.deps.clickhouse.command({
    query: `alter table \`${path.settings.clickhouse.database}\`.plain delete where _version > 0 and i4 = 7`,
    clickhouse_settings: { mutations_sync: '2' },
  });
  await followed.call(startReplay, { requestId: 'r1', from: 'beginning' });
  while (!(await followed.slice(replaySlice, 'replay:1')).finished);
  await followed.expectEqual();
});

it('a resync takes out what went without a message', async () => {
  const topic = await makeTopic();
  const followed = await add('plain', topic);
  await change(followed);
  const messages = recordedMessages('envelope.plain');
  await send(topic, messages.slice(0, 60));
  await followed.settle();
  // Debezium lost its slot, and what it would have sent.
  await path.source.query('delete from plain where id % 4 = 2');
  const { stage } = await followed.call(startBackfill, { resync: true, requestId: 'r' });
  while ((await followed.slice(copyTable, stage)).finished !== true) await followed.settle();
  await followed.expectEqual();
  await path.source.query(`insert into plain (id, t) values (1000, 'later')`);
  const [key, value] = ['{"id":1000}', JSON.stringify({ id: 1000, t: 'later' })];
  await send(topic, [{ key, value }]);
  await followed.expectEqual();
});

describe("ClickHouse's Kafka engine", () => {
  const addByEngine = async (table: string, options: TableOptions = {}): Promise<Followed> => {
    await path.source.query(`alter table ${table} replica identity full`);
    return add(table, await makeTopic(), { loader: 'kafka-engine', ...options });
  };
  const errors = (followed: Followed): Promise<string> =>
    followed.sink(
      `select arrayStringConcat(groupArray(error), '|') from (select error from {errors} final order by offset)`,
    );

  it.each([['envelope.plain'], ['envelope.fullid'], ['envelope.lap'], ['envelope.amount'], ['text.amount']])(
    'loads changes, passes over tombstones, and sets aside what is not exact: %s',
    async (name) => {
      const [, table = ''] = name.split('.');
      // More digits than an integer of ClickHouse has: only a worker loads it.
      const followed = await addByEngine(table, table === 'amount' ? { excluded: ['z'] } : {});
      await change(followed);
      const messages = recordedMessages(name);
      const inexact = messages.filter(({ value }) => value?.includes('unavailable_value') === true);
      await send(followed.topic, messages);
      await followed.settle();
      const met = (await errors(followed)).split('|').filter((each) => !/snapshot|^$/u.test(each));
      expect(met, met[0]).toHaveLength(inexact.length);
      if (table === 'amount') await path.source.query('alter table amount drop z');
      const { differences } = await followed.compare();
      expect(differences.length, JSON.stringify(differences)).toBeLessThanOrEqual(inexact.length);
      await path.source.query(`delete from ${table} where ${table} :: text like '%unavailable_value%'`);
      expect((await followed.compare()).differences).toEqual([]);
      expect(Number(await followed.sink('select count() from {target}'))).toBeGreaterThan(0);
    },
  );

  it('keeps messages that are none of this table, and goes on', async () => {
    const followed = await addByEngine('lap');
    await change(followed);
    const [first, ...rest] = recordedMessages('envelope.lap');
    const value = (change: (text: string) => string): string => change(first?.value ?? '');
    await send(followed.topic, [
      { key: 'a', value: 'no JSON' },
      // A record of Avro.
      { key: 'a', value: '\u0000\u0000\u0000\u0000\u0001\u0002' },
      { key: 'a', value: '{"id":1,"v":"flat"}' },
      { key: 'a', value: value((text) => text.replaceAll('"table":"lap"', '"table":"other"')) },
      { key: 'a', value: value((text) => text.replace('"after":{', '"after":{"more":1,')) },
      { key: 'a', value: value((text) => text.replace('"after":{"id":', '"after":{"id":9999999999')) },
      ...(first === undefined ? [] : [first]),
      ...rest,
    ]);
    await followed.expectEqual();
    expect((await errors(followed)).split('|').slice(0, 6)).toEqual([
      'not to be parsed: it is no JSON',
      'not to be parsed: it is no JSON',
      'not an envelope of Debezium: it has no "op" of c, r, u, d and t',
      'of the table public.other',
      'unknown fields: more',
      'column "id" is missing, null, or not exact: its JSON is another value, with the schema int32',
    ]);
  });

  it('is refused where it would have to read rows from PostgreSQL', async () => {
    const topic = await makeTopic();
    const engine = { loader: 'kafka-engine' as const };
    await expect(add('plain', topic, engine)).rejects.toMatchObject({
      message: expect.stringContaining('(TOAST)') as string,
      remedy: expect.stringContaining('alter table public.plain replica identity full') as string,
    });
    await path.source.query(
      `create table exact (id int primary key, n numeric(6,2), a int[]); alter table exact replica identity full;
        create table preset (id int primary key, n int default 7, m int not null default 7)`,
    );
    await path.source.query('grant select on exact, preset to public');
    await expect(add('preset', topic, engine)).rejects.toMatchObject({
      message: expect.stringMatching(/^The column n of public\.preset takes NULL and has a default\./u) as string,
    });
    await expect(add('exact', topic, engine)).rejects.toMatchObject({
      message: expect.stringContaining('the exact values of n (numeric), a (integer[])') as string,
      remedy: expect.stringContaining('--policy n=null') as string,
    });
  });
});

describe('is refused, with a reason', () => {
  const refusal = (message: string) => ({ message: expect.stringContaining(message) as string });

  it('a topic that is not there, has several partitions, or is not named', async () => {
    await expect(add('two', freshTopicName('missing'))).rejects.toMatchObject({
      ...refusal('There is no topic'),
      remedy: expect.stringMatching(
        /pg2click remove public\.two, then .*pg2click add public\.two .*--topic NAME/u,
      ) as string,
    });
    await expect(add('two', await makeTopic(2))).rejects.toMatchObject(refusal('has 2 partitions'));
    await expect(path.add('plain', { capture: 'debezium' })).rejects.toMatchObject(refusal('name it with --topic'));
  });

  it('a replica identity that is not the key, and a filter', async () => {
    await path.source.query(`
      create table other (id int primary key, code int not null unique);
      alter table other replica identity using index other_code_key;
      create table silent (id int primary key); alter table silent replica identity nothing;
      grant select on other, silent to public`);
    const topic = await makeTopic();
    await expect(add('other', topic)).rejects.toMatchObject(refusal('by code, and their key here is id'));
    await expect(add('silent', topic)).rejects.toMatchObject(refusal('by nothing'));
    await expect(add('two', topic, { where: 'a > 1' })).rejects.toMatchObject(refusal('--where'));
    await expect(add('other', topic, { key: ['code'] })).resolves.toBeDefined();
  });

  it('a message of another table', async () => {
    const topic = await makeTopic();
    const followed = await add('two', topic);
    await send(topic, recordedMessages('envelope.lap').slice(0, 1));
    await expect(followed.load()).rejects.toMatchObject(refusal('it is of the table "public"."lap"'));
  });

  it('a column that was rewritten without a message', async () => {
    const topic = await makeTopic();
    const followed = await add('two', topic);
    await path.source.query('alter table two alter v type bigint');
    await expect(followed.load()).rejects.toMatchObject({ kind: 'SourceChanged' });
  });
});
