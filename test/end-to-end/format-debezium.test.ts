import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startReplay } from '../../activities/change-replays.js';
import { replaySlice } from '../../activities/replay-slice.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { packageRoot } from '../../src/package-root.js';
import { recordedMessages } from '../support/debezium-messages.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { keptKeys } from '../support/quarantine.js';
import { readTopic } from '../support/read-topic.js';
import { freshName } from '../support/stack.js';

const fixture = (name: string): string =>
  readFileSync(join(packageRoot, 'test', 'fixtures', 'debezium', `${name}.sql`), 'utf8');

/** Columns whose forms differ from those of Debezium, as `docs/28-debezium.md` says: `char(n)`, and precisions below six digits. */
const DIFFER = ['c', 'ts3', 'tm3'];

let path: Path;
/** As `path`, with three partitions a topic. */
let wide: Path;
beforeAll(async () => {
  path = await openPath();
  wide = await openPath({ env: { KAFKA_PARTITIONS: '3' } });
});
afterAll(async () => {
  await path.close();
  await wide.close();
});

async function follow(of: Path, options: TableOptions = {}): Promise<{ table: string; followed: Followed }> {
  const table = freshName('enveloped');
  await of.source.query(/* sql */ `create table ${table} (
      region text, id bigint, day date, at timestamptz not null default '2026-11-29 10:00+01', naive timestamp, "time" time,
      bytes bytea, price numeric(10,2), "be""fore" text, primary key (region, id));
    insert into ${table} (region, id) select 'eu', g from generate_series(1, 20) g`);
  const followed = await of.add(table, { format: 'debezium', ...options });
  await followed.copy();
  return { table, followed };
}

/** Both sides print the shortest text that gives the number again, each in its own way. */
const floatOf = (name: string, text: string): number => (name === 'f4' ? Math.fround(Number(text)) : Number(text));

/** Inserts, updates, deletions and keys that become others. */
async function mix(of: Path, table: string, from: number): Promise<void> {
  await of.source.query(/* sql */ `
    insert into ${table} select case g % 3 when 0 then 'eu' else 'us' end, g, date '2000-01-01' + g, now(), now(), '24:00', '\\x00ff', g, '"' || g
      from generate_series(${from}, ${from + 200}) g;
    update ${table} set price = price + 1, naive = '1900-01-01' where id % 5 = 0;
    update ${table} set region = 'de' where id % 7 = 0;
    delete from ${table} where id % 4 = 1`);
}

it('a message is an envelope as Debezium has it, a deletion is followed by a tombstone, and a TRUNCATE is t', async () => {
  const { table, followed } = await follow(path);
  await path.source.query(`insert into ${table} (region, id, day, naive, "time", bytes, price)
    values ('us', 9007199254740993, '2026-11-29', '2026-11-29 10:00:00.5', '10:00:00.000001', '\\x00ff', 12.5)`);
  await followed.settle();
  await path.source.query(`delete from ${table} where region = 'us'`);
  await followed.settle();
  await path.source.query(`truncate ${table}`);
  await followed.expectEqual();
  const messages = await readTopic(followed.topic, 4);
  const { id: origin } = await path.deps.deployment();
  const version = (seq: bigint): string => String((1n << 120n) + (seq << 64n) + 1n);
  const { database } = path.settings.postgres;
  const sourceOf = (seq: bigint): string =>
    `"source":{"_version":"${version(seq)}","ts_ms":0,"version":"pg2click","connector":"postgresql","name":"${path.settings.pipeline}",\
"snapshot":"false","db":"${database}","sequence":null,"schema":"public","table":"${table}","txId":null,"lsn":null,"xmin":null},"transaction":null`;
  const key = '{"region":"us","id":9007199254740993}';
  const seen = messages.map((message) => ({
    ...message,
    value: message.value?.replaceAll(/"ts_ms":\d+/gu, '"ts_ms":0'),
  }));
  expect(seen).toEqual([
    {
      partition: 0,
      key,
      value: `{"before":null,"after":{"region":"us","id":9007199254740993,"day":20786,"at":"2026-11-29T09:00:00.000000Z",\
"naive":1795946400500000,"time":36000000001,"bytes":"AP8=","price":"12.50","be\\"fore":null},${sourceOf(2n)},"op":"r","ts_ms":0}`,
      headers: { pg2click: `2/${origin}/1/1/1/0/1/2/envelope` },
    },
    {
      partition: 0,
      key,
      value: `{"before":${key},"after":null,${sourceOf(3n)},"op":"d","ts_ms":0}`,
      headers: { pg2click: `2/${origin}/1/1/2/0/1/3/envelope` },
    },
    { partition: 0, key, value: undefined, headers: { pg2click: `2/${origin}/1/1/2/1/0/3/tombstone` } },
    {
      partition: 0,
      key: null,
      value: `{"before":null,"after":null,${sourceOf(4n)},"op":"t","ts_ms":0}`,
      headers: { pg2click: `2/${origin}/1/1/3/0/0/4/truncate` },
    },
  ]);
});

it('values are those that a real Debezium wrote of the same rows', async () => {
  await path.source.query(fixture('tables'));
  const followed = await path.add('plain', { format: 'debezium' });
  await followed.copy();
  const inserts = fixture('changes')
    .split(/(?<=;)\n/u)
    .filter((statement) => statement.startsWith('insert into plain'));
  await path.source.query(inserts.join('\n'));
  await followed.settle();
  const rowOf = ({ value }: { readonly value: string | null }): Record<string, unknown> =>
    Object.fromEntries(
      // As they are written: a number would lose digits.
      [
        ...(/"after":\{(.*?)\},"source"/su.exec(value ?? '')?.[1] ?? '').matchAll(
          /"(\w+)":("(?:[^"\\]|\\.)*"|[^,]*)/gu,
        ),
      ].map(([, name = '', text = '']) => [
        name,
        text.startsWith('"') ? (JSON.parse(text) as string) : name.startsWith('f') ? floatOf(name, text) : text,
      ]),
    );
  const theirs = new Map<unknown, Record<string, unknown>>();
  for (const message of recordedMessages('envelope.plain')) {
    const row = rowOf(message);
    if (!theirs.has(row['id'])) theirs.set(row['id'], row);
  }
  const ours = (await readTopic(followed.topic, inserts.length)).map(rowOf);
  for (const row of ours) {
    const expected = theirs.get(row['id']);
    for (const name of DIFFER) {
      delete row[name];
      delete expected?.[name];
    }
    expect(row).toEqual(expected);
  }
  expect(ours.length).toBeGreaterThan(15);
});

it.each(['one partition', 'three partitions'])(
  'what changes, goes, comes again and is truncated is loaded: %s',
  async (way) => {
    const of = way === 'one partition' ? path : wide;
    const { table, followed } = await follow(of);
    await mix(of, table, 100);
    expect(await followed.expectEqual()).toBeGreaterThan(100);
    await of.source.query(`truncate ${table}`);
    await mix(of, table, 150);
    expect(await followed.expectEqual()).toBeGreaterThan(100);
    await of.deps.clickhouse.command({
      query: `alter table ${followed.receipt.target} delete where id % 2 = 0`,
      clickhouse_settings: { mutations_sync: '2' },
    });
    await followed.call(startReplay, { requestId: 'r1', from: 'beginning' });
    while (!(await followed.slice(replaySlice, 'replay:1')).finished);
    await followed.expectEqual();
  },
);

it('a row that ClickHouse has no place for is set aside alone, and its correction closes it', async () => {
  const { table, followed } = await follow(path);
  await path.source.query(`insert into ${table} (region, id, day, naive) values
    ('us', 1, '9999-12-31', null), ('us', 2, '2000-01-01', null), ('us', 3, null, 'infinity')`);
  await followed.settle();
  expect(await followed.sink('select count() from {current}')).toBe('21');
  expect(await keptKeys(path, table)).toHaveLength(2);
  await path.source.query(`update ${table} set day = null, naive = null where region = 'us'`);
  expect(await followed.expectEqual()).toBe(23);
  await followed.settle();
  expect(await keptKeys(path, table)).toEqual([]);
});

it('columns that change, a route that changes, and a table that is added again are followed', async () => {
  const { table, followed } = await follow(path, { format: 'json' });
  await mix(path, table, 100);
  await followed.publish();
  await followed.configure({ format: 'debezium' });
  await path.source.query(`insert into ${table} (region, id, day) values ('new', 1, '2001-01-01')`);
  await followed.publish();
  await path.source.query(
    `alter table ${table} drop day; alter table ${table} rename naive to day; alter table ${table} add late date`,
  );
  await path.source.query(
    `insert into ${table} (region, id, day, late) values ('new', 2, '2001-01-01 10:00', '2002-02-02')`,
  );
  expect(await followed.expectEqual()).toBeGreaterThan(100);
  await followed.configure({ format: 'packed' });
  await path.source.query(`update ${table} set late = '2003-03-03'`);
  await followed.expectEqual();
});

it('a table that grows says that its rows were inserted', async () => {
  const table = freshName('growing');
  await path.source.query(`create table ${table} (id bigserial primary key, day date);
    grant usage, select on sequence ${table}_id_seq to public`);
  const followed = await path.add(table, { capture: 'poll', transport: 'kafka', format: 'debezium' });
  await path.source.query(`insert into ${table} (day) select date '2000-01-01' + g from generate_series(1, 30) g`);
  expect(await followed.expectEqual()).toBe(30);
  const [first] = await readTopic(followed.topic, 30);
  expect(JSON.parse(first?.value ?? '')).toMatchObject({ after: { id: 1, day: 10_958 }, op: 'c' });
});
