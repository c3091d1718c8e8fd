import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { StackAddresses } from '../../dev/stack/server.js';
import { packageRoot } from '../../src/package-root.js';
import { ensureTopic, withAdmin } from '../../src/topic/admin.js';
import { clickhouseOptions, environmentOf } from '../support/clients.js';
import { connectTestKafka } from '../support/kafka.js';
import { pythonFor, type Program, type Python } from '../support/program.js';
import { proxied } from '../../dev/network/proxied.js';
import { addressOf, freshDatabase, freshName, freshSink, waitFor } from '../support/stack.js';

const FOLDER = 'examples/recipe';
const sqlOf = (file: string): string => readFileSync(join(packageRoot, FOLDER, file), 'utf8');

/** The programs that people write before they come here, on the servers that `pg2click dev` starts. */
describe('the recipe', () => {
  let python: Python;
  let source: pg.Client;
  let another: pg.Client;
  let sink: ClickHouseClient;
  let sinkAddress: StackAddresses['clickhouse'];
  let env: Record<string, string>;
  const kafka = connectTestKafka();
  const programs: Program[] = [];

  beforeAll(async () => {
    python = await pythonFor('recipe');
  });
  beforeEach(async () => {
    const [postgres, clickhouse] = [await freshDatabase('recipe'), await freshSink('recipe')];
    sinkAddress = clickhouse;
    const topic = freshName('recipe');
    await withAdmin(kafka, (admin) => ensureTopic(admin, { topic, retentionMs: 3_600_000 }));
    env = {
      ...environmentOf({ postgres, clickhouse, kafka: addressOf('kafka') }),
      KAFKA_TOPIC: topic,
      KAFKA_GROUP: topic,
      CH_TABLE: 'target_table',
    };
    source = new pg.Client(postgres);
    another = new pg.Client(postgres);
    await Promise.all([source.connect(), another.connect()]);
    sink = createClient({ ...clickhouseOptions(clickhouse), database: clickhouse.database });
    await start('create_tables.py').end();
  });
  afterEach(async () => {
    await Promise.all([source.end(), another.end(), sink.close()]);
    await Promise.all(programs.splice(0).map((program) => program.stop()));
  });

  const start = (program: string, settings = env): Program => {
    const started = python.start(`${FOLDER}/${program}`, settings);
    programs.push(started);
    return started;
  };

  async function insert(count: number): Promise<void> {
    await source.query(
      `insert into source_table (name, value) select case when i % 5 > 0 then 'Größe ' || i end, i / 3.0
        from generate_series(1, ${count}) i`,
    );
  }

  async function startListening(): Promise<Program> {
    const program = start('notify.py');
    await waitFor(() => program.lines.includes('listening'), { deadlineMs: 20_000, what: 'LISTEN' });
    return program;
  }

  /** Waits until ClickHouse has exactly these rows. */
  async function expectIds(...ids: readonly string[]): Promise<void> {
    await waitFor(
      async (see) => {
        const found = (await readTarget()).map(({ id }) => id).join();
        see(found);
        return found === ids.join();
      },
      { deadlineMs: 20_000, what: `rows ${ids.join()} in ClickHouse` },
    );
  }

  async function readTarget(): Promise<{ id: string }[]> {
    const query = 'select toString(id) as id, name, value from target_table order by id';
    return (await sink.query({ query, format: 'JSONEachRow' })).json();
  }

  /** Waits until ClickHouse has the rows of PostgreSQL, each once. */
  async function expectEqual(): Promise<void> {
    const { rows } = await source.query(`select id::text, name, value from source_table order by id`);
    await waitFor(
      async (see) => {
        const found = await readTarget();
        see(`${found.length} rows`);
        expect(found).toEqual(rows);
        return true;
      },
      { deadlineMs: 30_000, what: `${rows.length} rows in ClickHouse`, everyMs: 100 },
    );
  }

  it('copies rows with its polling loop', async () => {
    await insert(1_500);
    start('poll.py');
    await expectEqual();
    await insert(20);
    await expectEqual();
  });

  it('loses with its polling loop the row of a transaction that commits late', async () => {
    start('poll.py');
    await source.query(`begin; insert into source_table (name) values ('slow')`);
    await another.query(`insert into source_table (name) values ('fast')`);
    await expectIds('2');
    await source.query('commit');
    await another.query(`insert into source_table (name) values ('later')`);
    await expectIds('2', '3');
  });

  it('copies a row when LISTEN hears of it, and loses those that come while nobody listens', async () => {
    await source.query(sqlOf('notify.sql'));
    const program = await startListening();
    await insert(1);
    await expectIds('1');
    await program.stop();
    await insert(1);
    await startListening();
    await insert(1);
    await expectIds('1', '3');
  });

  it('commits with its consumer the offset of a row that is only in memory, and a crash then loses it', async () => {
    const { proxies, addresses, close } = await proxied({
      postgres: addressOf('postgres'),
      kafka: addressOf('kafka'),
      clickhouse: sinkAddress,
      temporal: addressOf('temporal'),
    });
    onTestFinished(close);
    const { KAFKA_TOPIC: topic = '' } = env;
    const producer = kafka.producer();
    const admin = kafka.admin();
    await Promise.all([producer.connect(), admin.connect()]);
    onTestFinished(async () => void (await Promise.all([producer.disconnect(), admin.disconnect()])));
    const send = (id: number) =>
      producer.send({ topic, messages: [{ value: JSON.stringify({ id, name: 'x', value: 1 }) }] });
    const { CH_TLS: _, CH_TLS_CA: __, ...plain } = env;
    const program = start('consumer.py', { ...plain, ...environmentOf({ clickhouse: addresses.clickhouse }) });
    await send(1);
    await expectIds('1');
    // The row can be read before the program has the response, and a program that waits for it polls no other message.
    await waitFor(() => program.lines.includes('1 rows'), { deadlineMs: 20_000, what: 'the response', everyMs: 50 });
    proxies.clickhouse.freeze();
    await send(2);
    await waitFor(
      async (see) => {
        const [group] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
        see(group);
        return group?.partitions[0]?.offset === '2';
      },
      { deadlineMs: 20_000, what: 'offset 2 in the group', everyMs: 200 },
    );
    await program.stop();
    await expectIds('1');
  });

  it('copies rows by way of events_table and Kafka', async () => {
    await source.query(sqlOf('events.sql'));
    start('producer.py');
    start('consumer.py');
    await insert(1_500);
    await expectEqual();
    await insert(20);
    await expectEqual();
  });
});
