import avsc from 'avsc';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Registry } from '../../dev/stack/registry.js';
import { connectTestKafka, withAdmin } from '../support/kafka.js';
import type { Failure } from '../../src/failure/failure.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { failureOf } from '../support/failure-of.js';
import { openRegistry } from '../support/registry.js';
import { freshName, waitFor } from '../support/stack.js';

/* Messages in Avro, against a real schema registry: the loader, ClickHouse's Kafka engine, and a reader with a public library. */

let registry: Registry;
let path: Path;

beforeAll(async () => {
  registry = await openRegistry();
  path = await openPath({ env: { SCHEMA_REGISTRY_URL: registry.url, KAFKA_PARTITIONS: '3' } });
});
afterAll(async () => {
  await path.close();
  await registry.stop();
});

async function newTable(rows: number): Promise<string> {
  const table = freshName('orders');
  await path.source.query(/* sql */ `create table ${table} (
    id bigint primary key, amount numeric(12, 2) not null, note text, born date, at timestamptz not null default now(), "two words" int)`);
  await path.source.query(insertSql(table, 1, rows));
  return table;
}

function insertSql(table: string, first: number, last: number): string {
  return /* sql */ `insert into ${table} (id, amount, note, born) select i, i / 100.0, case when i % 3 = 0 then null else 'note ' || i end,
    date '2000-01-01' + i::int from generate_series(${first}, ${last}) i`;
}

/** Changes of every kind after a first load. @returns rows that are left */
async function exercise(orders: Followed, table: string): Promise<number> {
  await path.source.query(insertSql(table, 501, 1_500));
  await path.source.query(
    /* sql */ `update ${table} set note = e'a "quoted" \\\\ \\t note\\n', amount = -0.01 where id % 7 = 0`,
  );
  await path.source.query(/* sql */ `delete from ${table} where id % 11 = 0`);
  await orders.settle();
  await path.source.query(/* sql */ `truncate ${table}`);
  await path.source.query(insertSql(table, 100, 399));
  await path.source.query(/* sql */ `update ${table} set id = id + 1000 where id % 50 = 0`);
  return orders.expectEqual();
}

async function subject(topic: string): Promise<readonly number[]> {
  const answer = await fetch(`${registry.url}/subjects/${topic}-value/versions`);
  return (await answer.json()) as readonly number[];
}

it.each(['worker', 'kafka-engine'] as const)(
  'loader %s: inserts, updates, deletes, new keys and a TRUNCATE arrive',
  async (loader) => {
    const table = await newTable(500);
    const orders = await path.add(table, { format: 'avro', loader });
    await orders.copy();
    expect(await exercise(orders, table)).toBe(300);
    // Of the first copy, and of the TRUNCATE.
    expect(await orders.sink('select count() from {floor}')).toBe('2');
    if (loader === 'kafka-engine') expect(await orders.sink('select count() from {errors}')).toBe('0');
  },
);

it.each(['worker', 'kafka-engine'] as const)(
  'loader %s: a value without a place sets its row apart',
  async (loader) => {
    const table = await newTable(10);
    const orders = await path.add(table, { format: 'avro', loader });
    await orders.copy();
    await path.source.query(/* sql */ `update ${table} set born = 'infinity' where id = 3`);
    await path.source.query(insertSql(table, 11, 20));
    await orders.settle();
    expect(await orders.sink('select count() from {current}')).toBe('20');
    expect(await orders.sink('select born from {current} where id = 3')).toBe('2000-01-04');
    const apart =
      loader === 'worker'
        ? (
            await path.ledger.query(/* sql */ `select 1 from pg2click.quarantine where table_id = $1`, [
              orders.receipt.id,
            ])
          ).rowCount
        : Number(await orders.sink(`select count() from {errors} where error = 'no place for the value of born'`));
    expect(apart).toBe(1);
  },
);

it.each(['worker', 'kafka-engine'] as const)('loader %s: columns of chosen types arrive', async (loader) => {
  const table = freshName('chosen');
  await path.source
    .query(/* sql */ `create table ${table} (id bigint primary key, big bigint not null, large bigint, money numeric(10, 2),
    small bigint, day date, short timestamptz, zoned timestamptz, yes boolean, few text not null)`);
  const orders = await path.add(table, {
    format: 'avro',
    loader,
    types: {
      id: 'Int128',
      big: 'UInt64',
      large: 'Decimal(30, 4)',
      money: 'Int64',
      small: 'UInt16',
      day: 'Date',
      short: "DateTime('UTC')",
      zoned: "DateTime64(3, 'America/New_York')",
      yes: 'UInt8',
      few: 'LowCardinality(String)',
    },
    policy: 'clamp',
  });
  await orders.copy();
  await path.source.query(/* sql */ `insert into ${table} values
    (1, 9223372036854775807, -9223372036854775808, 12.00, 65535, '2149-06-06', '2106-02-07 06:28:15+00', '1900-01-01 00:00:00.001+00', true, 'a'),
    (2, 0, null, null, null, null, null, null, null, 'b')`);
  await orders.settle();
  const columns = 'id, big, large, money, small, day, short, toUnixTimestamp64Milli(zoned), yes, few';
  expect(await orders.sink(`select ${columns} from {current} where id = 1`)).toBe(
    '1\t9223372036854775807\t-9223372036854775808\t12\t65535\t2149-06-06\t2106-02-07 06:28:15\t-2208988799999\t1\ta',
  );
  expect(await orders.sink(`select ${columns} from {current} where id = 2`)).toBe(
    ['2', '0', ...Array.from({ length: 7 }, () => String.raw`\N`), 'b'].join('\t'),
  );
  await path.source.query(/* sql */ `update ${table} set big = -1 where id = 2; delete from ${table} where id = 1`);
  await orders.settle();
  expect(await orders.sink('select id, big, few from {current}')).toBe('2\t0\tb');
});

it('a column that is added is a new version of the schema; old and new messages are loaded', async () => {
  const table = await newTable(10);
  const orders = await path.add(table, { format: 'avro' });
  await orders.copy();
  await path.source.query(insertSql(table, 11, 20));
  await orders.publish();
  await path.source.query(/* sql */ `alter table ${table} add column size int, alter column "two words" type bigint`);
  await path.source.query(/* sql */ `alter table ${table} rename column note to remark`);
  await path.source.query(/* sql */ `update ${table} set size = id, remark = 'new' where id > 15`);
  await orders.settle();
  await orders.copy();
  expect(await orders.expectEqual()).toBe(20);
  expect((await subject(orders.topic)).length).toBeGreaterThan(1);
});

it('a schema that the registry refuses parks the table, and says how it goes on', async () => {
  const table = await newTable(10);
  const orders = await path.add(table, { format: 'avro' });
  await orders.copy();
  const compatibility = (level: string): Promise<Response> =>
    fetch(`${registry.url}/config/${orders.topic}-value`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ compatibility: level }),
    });
  await compatibility('FULL');
  // Readers of the old schema cannot take what does not fit an int.
  await path.source.query(/* sql */ `alter table ${table} alter column "two words" type bigint`);
  await path.source.query(/* sql */ `update ${table} set "two words" = 9007199254740993 where id = 1`);
  const failure = await failureOf(() => orders.publish());
  expect(failure).toMatchObject({ kind: 'SchemaRefused' });
  const { message, remedy } = failure as Failure;
  expect(message).toContain(`refuses the schema for subject ${orders.topic}-value`);
  expect(remedy).toContain(`(PUT /config/${orders.topic}-value), then resume the table`);
  await compatibility('NONE');
  await orders.settle();
  await orders.copy();
  expect(await orders.expectEqual()).toBe(10);
});

it('a registry that is away stops no loader, and the writer goes on when it is back', async () => {
  const table = await newTable(10);
  const orders = await path.add(table, { format: 'avro' });
  await orders.copy();
  await path.source.query(insertSql(table, 11, 20));
  await orders.publish();
  const gone = { register: () => Promise.reject(new Error('no registry')) } as never;
  await path.source.query(insertSql(table, 21, 30));
  await expect(orders.publish({ registry: gone })).rejects.toThrow('no registry');
  while ((await orders.load({ registry: gone })).batches > 0);
  expect(await orders.sink('select count() from {current}')).toBe('20');
  expect(await orders.expectEqual()).toBe(30);
});

it('a table changes to Avro and back while it runs', async () => {
  const table = await newTable(10);
  const orders = await path.add(table, { format: 'json' });
  await orders.copy();
  for (const [round, format] of (['avro', 'packed', 'avro', 'json'] as const).entries()) {
    await path.source.query(insertSql(table, 100 + round * 10, 109 + round * 10));
    await orders.publish();
    await orders.configure({ format });
    await path.source.query(/* sql */ `update ${table} set amount = amount + 1 where id % 4 = 0`);
    await orders.publish();
  }
  expect(await orders.expectEqual()).toBe(50);
});

/** All that is in the topic now, by partition. */
async function readMessages(
  topic: string,
): Promise<readonly { readonly key: string | null; readonly value: Buffer }[]> {
  const ends = await withAdmin((admin) => admin.fetchTopicOffsets(topic));
  const messages: { key: string | null; value: Buffer }[] = [];
  const consumer = connectTestKafka().consumer({ groupId: freshName('avro') });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: ({ message: { key, value } }) => {
        if (value !== null) messages.push({ key: key === null ? null : String(key), value });
        return Promise.resolve();
      },
    });
    const count = ends.reduce((sum, { high }) => sum + Number(high), 0);
    await waitFor(() => messages.length >= count, { deadlineMs: 60_000, what: 'the messages of the topic' });
  } finally {
    await consumer.disconnect();
  }
  return messages;
}

interface Row {
  readonly _version: string;
  readonly _deleted: boolean;
  readonly [column: string]: unknown;
}

it('a reader with a public library follows the rules of the topic to the same rows', async () => {
  const table = await newTable(0);
  const orders = await path.add(table, { format: 'avro' });
  await orders.copy();
  await path.source.query(insertSql(table, 1, 50));
  await orders.settle();
  await path.source.query(/* sql */ `truncate ${table}`);
  await path.source.query(insertSql(table, 1, 30));
  await path.source.query(/* sql */ `delete from ${table} where id % 10 = 0`);
  await orders.settle();

  const types = new Map<number, avsc.Type>();
  const rows = new Map<string, Row>();
  let floor = 0n;
  for (const { key, value } of await readMessages(orders.topic)) {
    const id = value.readUInt32BE(1);
    if (!types.has(id)) {
      const answer = await fetch(`${registry.url}/schemas/ids/${id}`);
      const { schema } = (await answer.json()) as { schema: string };
      types.set(id, avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema));
    }
    const row = types.get(id)?.fromBuffer(value.subarray(5)) as Row;
    const version = BigInt(row._version);
    if (key === null) floor = version > floor ? version : floor;
    else if (version > BigInt(rows.get(key)?._version ?? 0)) rows.set(key, row);
  }
  const alive = [...rows.values()].filter((row) => !row._deleted && BigInt(row._version) > floor);
  expect(alive.length).toBe(27);
  // Of 0.07 with two digits behind the point.
  expect(rows.get('[7]')).toMatchObject({ id: 7, note: 'note 7', amount: Buffer.from([7]), two_u0020words: null });
});
