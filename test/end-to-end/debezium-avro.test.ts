import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import avsc from 'avsc';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Registry } from '../../dev/stack/registry.js';
import { SchemaRegistry } from '../../src/connect/schema-registry.js';
import { packageRoot } from '../../src/package-root.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openDebezium, type Debezium } from '../support/debezium.js';
import { connectTestKafka, withAdmin } from '../support/kafka.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { openProxy } from '../../dev/network/proxy.js';
import { readTopic } from '../support/read-topic.js';
import { openRegistry } from '../support/registry.js';
import { addressOf, freshDatabase, freshName, waitFor } from '../support/stack.js';

/* Topics in Avro that a real Debezium writes, by way of a real schema registry. */

const TABLES = ['plain', 'two', 'toasty', 'amount', 'fullid', 'lap', 'preset', 'every_type'];
/** Of columns with values that ClickHouse has no place for. */
const TEXTS: TableOptions = { policies: { d: 'text', ts: 'text', tstz: 'text', n102: 'text' } };
const FLAT = {
  transforms: 'unwrap',
  'transforms.unwrap.type': 'io.debezium.transforms.ExtractNewRecordState',
  'transforms.unwrap.delete.tombstone.handling.mode': 'rewrite',
};

const fixture = (name: string): string =>
  readFileSync(join(packageRoot, 'test', 'fixtures', 'debezium', `${name}.sql`), 'utf8');

let registry: Registry;
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(() => registry.stop());

it.each([
  ['envelopes', {}, TABLES],
  ['flat rows', FLAT, ['plain', 'toasty', 'preset', 'amount']],
])(
  'what a real Debezium writes in Avro is in ClickHouse: %s',
  async (_, properties, tables) => {
    const owner = await freshDatabase('debezium');
    const path = await openPath({ owner, env: { SCHEMA_REGISTRY_URL: registry.url } });
    try {
      await path.source.query(fixture('tables'));
      // Two rows from before, and values that are the defaults: a converter writes a default in the place of a NULL.
      await path.source
        .query(/* sql */ `create table preset (id int primary key, n int default 7, t text default 'none', f real default 0.1);
        insert into preset values (1, null, null, null), (2, 7, 'none', 0.1);
        grant select on all tables in schema public to public`);
      const name = freshName('dbz');
      const topicOf = (table: string): string => `${name}.public.${table}`;
      await withAdmin((admin) =>
        admin.createTopics({ topics: tables.map((table) => ({ topic: topicOf(table), numPartitions: 1 })) }),
      );
      const debezium = await openDebezium(
        { postgres: owner, kafka: addressOf('kafka') },
        {
          name,
          tables: tables.map((table) => `public.${table}`),
          registry: registry.url,
          properties: {
            'schema.name.adjustment.mode': 'avro',
            'field.name.adjustment.mode': 'avro',
            'hstore.handling.mode': 'json',
            ...properties,
          },
        },
      );
      await debezium.start();
      await untilStreaming(path, debezium);
      const followed = new Map<string, Followed>();
      for (const table of tables) {
        const options = table === 'every_type' ? TEXTS : {};
        const each = await path.add(table, { capture: 'debezium', topic: topicOf(table), ...options });
        await each.copy();
        followed.set(table, each);
      }
      await path.source
        .query(/* sql */ `insert into preset values (3, null, null, null), (4, 7, 'none', 0.1), (5, 8, 'some', 0.2);
        update preset set n = null where id = 2; update preset set t = 'none' where id = 1`);
      const [first = '', second = ''] = fixture('changes').split(/(?=alter table two)/u, 2);
      // A flat topic has no TRUNCATE.
      await path.source.query(properties === FLAT ? first.replace(/truncate .*/u, '') : first);
      await untilEqual(followed, debezium);
      const rest = second + fixture('changes').slice(first.length + second.length);
      await path.source.query(rest);
      await untilEqual(followed, debezium);
      for (const { value } of await readTopic(topicOf('plain'), 5))
        if (value !== null) expect(value.charCodeAt(0)).toBe(0);
    } finally {
      await path.close();
    }
  },
  400_000,
);

interface Written {
  readonly key: unknown;
  readonly value: unknown;
}

const KEY: avsc.Schema = { type: 'record', name: 'Key', fields: [{ name: 'id', type: 'int' }] };
const ROW: avsc.Schema = {
  type: 'record',
  name: 'Value',
  fields: [
    { name: 'id', type: 'int' },
    { name: 'note', type: ['null', 'string'], default: null },
  ],
};

describe('where a message cannot be read', () => {
  let path: Path;
  let url: string;
  beforeAll(async () => {
    path = await openPath({ env: { SCHEMA_REGISTRY_URL: registry.url } });
    ({ url } = registry);
  });
  afterAll(() => path.close());

  /** A table of `id` and `note` that was added, with one row. */
  async function follow(): Promise<Followed> {
    const table = freshName('notes');
    await path.source.query(/* sql */ `create table ${table} (id int primary key, note text);
      grant select on ${table} to public`);
    await withAdmin((admin) => admin.createTopics({ topics: [{ topic: table, numPartitions: 1 }] }));
    const followed = await path.add(table, { capture: 'debezium', topic: table });
    await followed.copy();
    await path.source.query(/* sql */ `insert into ${table} values (1, 'of Avro')`);
    return followed;
  }

  async function register(topic: string, schema: avsc.Schema, which = 'value'): Promise<number> {
    const answer = await fetch(`${url}/subjects/${topic}-${which}/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema: JSON.stringify(schema) }),
    });
    return ((await answer.json()) as { id: number }).id;
  }

  const encode = (id: number, schema: avsc.Schema, value: unknown): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(id, 1);
    return Buffer.concat([head, avsc.Type.forSchema(schema, { wrapUnions: false } as never).toBuffer(value)]);
  };

  /** @param valueId in the place of that of the registry */
  async function send(topic: string, { key, value }: Written, valueId?: number): Promise<void> {
    const keyId = await register(topic, KEY, 'key');
    const id = valueId ?? (await register(topic, ROW));
    const producer = connectTestKafka().producer();
    await producer.connect();
    await producer.send({ topic, messages: [{ key: encode(keyId, KEY, key), value: encode(id, ROW, value) }] });
    await producer.disconnect();
  }

  const first: Written = { key: { id: 1 }, value: { id: 1, note: 'of Avro' } };
  const refusal = (kind: string, message: RegExp | string) => ({
    kind,
    message: typeof message === 'string' ? message : (expect.stringMatching(message) as string),
  });

  it('a schema that the registry does not have parks the table', async () => {
    const followed = await follow();
    await send(followed.topic, first, 987_654);
    await expect(followed.load()).rejects.toMatchObject({
      ...refusal('Misconfigured', `The schema registry ${url} has no schema 987654, which a message names.`),
      remedy: expect.stringMatching(/^Set SCHEMA_REGISTRY_URL to the registry that the connector/u) as string,
    });
  });

  it('without a registry in the settings the table parks', async () => {
    const followed = await follow();
    await send(followed.topic, first);
    await expect(followed.load({ registry: undefined })).rejects.toMatchObject(
      refusal('Misconfigured', `Messages of topic ${followed.topic} are in Avro, and SCHEMA_REGISTRY_URL is not set.`),
    );
    await followed.expectEqual();
  });

  it('a registry that is away is waited for, and one that is there is asked once for each schema', async () => {
    const followed = await follow();
    await send(followed.topic, first);
    const proxy = await openProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
    onTestFinished(() => proxy.close());
    const server = path.settings.registry;
    if (server === undefined) throw new Error('no registry');
    const away = new SchemaRegistry({ ...server, url: url.replace(/:\d+/u, `:${proxy.port}`) });
    await proxy.refuse();
    const load = () => followed.load({ registry: away });
    await expect(load()).rejects.toMatchObject(refusal('RegistryUnavailable', /^The schema registry http/u));
    await proxy.pass();
    await load();
    expect(await followed.sink('select note from {current}')).toBe('of Avro');
    await proxy.refuse();
    await path.source.query(/* sql */ `update ${followed.name.table} set note = 'again'`);
    await send(followed.topic, { ...first, value: { id: 1, note: 'again' } });
    await load();
    expect(await followed.sink('select note from {current}')).toBe('again');
  });

  it('a value that is no record of its schema parks the table', async () => {
    const followed = await follow();
    await send(followed.topic, first, await register(followed.topic, KEY, 'key'));
    await expect(followed.load()).rejects.toMatchObject(
      refusal(
        'TopicReplaced',
        /none that Debezium writes for this table: it is no record of the schema that it names/u,
      ),
    );
  });

  it('a batch that was named is read again by another worker, whose schemas are not known yet', async () => {
    const followed = await follow();
    await send(followed.topic, first);
    await send(followed.topic, { ...first, value: { id: 1, note: null } });
    await path.source.query(/* sql */ `update ${followed.name.table} set note = null`);
    const broken = {
      sink: () => {
        throw new Error('cut');
      },
    };
    await expect(followed.load(broken)).rejects.toThrow();
    const another = path.settings.registry && new SchemaRegistry(path.settings.registry);
    await followed.load({ registry: another });
    expect(await followed.expectEqual()).toBe(1);
  });

  it('what a message holds exactly is not read from PostgreSQL', async () => {
    const followed = await follow();
    await send(followed.topic, { ...first, value: { id: 1, note: 'of the message' } });
    await followed.load();
    expect(await followed.sink('select note from {current}')).toBe('of the message');
  });
});

async function untilStreaming(path: Path, debezium: Debezium): Promise<void> {
  const isStreaming = async (): Promise<boolean> => {
    debezium.requireRunning();
    const { rowCount } = await path.source.query(
      /* sql */ `select from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
        where s.slot_name = $1 and r.state = 'streaming'`,
      [debezium.name],
    );
    return rowCount === 1;
  };
  await waitFor(isStreaming, { deadlineMs: 90_000, what: 'Debezium to stream', everyMs: 250 });
}

async function untilEqual(followed: ReadonlyMap<string, Followed>, debezium: Debezium): Promise<void> {
  for (const [table, each] of followed) {
    let seen: unknown;
    const isEqual = async (): Promise<boolean> => {
      debezium.requireRunning();
      await each.settle();
      const comparison = await each.compare();
      seen = comparison;
      return comparison.differences.length === 0 && comparison.source === comparison.equal;
    };
    await waitFor(isEqual, { deadlineMs: 60_000, what: `${table} to be equal`, everyMs: 250 }).catch(
      (error: unknown) => {
        throw new Error(`${table}: ${JSON.stringify(seen)}`, { cause: error });
      },
    );
  }
}
