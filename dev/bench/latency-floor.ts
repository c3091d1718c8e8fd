import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../../src/source/session.js';
import { drainSql } from '../../src/source/outbox/drain-sql.js';
import { outboxTable } from '../../src/source/outbox/names.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { percentile } from '../demo/percentile.js';
import { capture } from './captured.js';
import { copyToNowhere } from './drain-ceiling.js';
import { createOrders, insertOrders } from './orders.js';
import type { BenchEnvironment } from './environment.js';
import { makeTopic } from './topic-ceilings.js';

const TIMES = 100;
const FLOOR_ID = '900001';
const TABLE = 'latency_floor';

/** One row through one step, bare, on idle servers. Milliseconds. */
export interface FloorStep {
  readonly name: string;
  readonly p50: number;
  readonly p99: number;
}

/** The steps that no way through these three servers avoids. Their sum is what one row takes at least. */
export async function latencyFloor(environment: BenchEnvironment): Promise<readonly FloorStep[]> {
  return [
    floorStep('outbox look and drain', await drainOnce(environment)),
    floorStep('produce to fetch', await produceToFetch(environment)),
    floorStep('insert to answered query', await insertToQuery(environment)),
  ];
}

function floorStep(name: string, milliseconds: readonly number[]): FloorStep {
  const at = (share: number): number => Math.round((percentile(milliseconds, share) ?? Number.NaN) * 100) / 100;
  return { name, p50: at(0.5), p99: at(0.99) };
}

/** A look that finds an event, and the drain of its one row. */
async function drainOnce(environment: BenchEnvironment): Promise<readonly number[]> {
  await using pg = await environment.connect('latency floor');
  await createOrders(pg, TABLE);
  const table = await capture(pg, TABLE, FLOOR_ID);
  const outbox = outboxTable(FLOOR_ID);
  const taken: number[] = [];
  for (let id = 1; id <= TIMES; id += 1) {
    await insertOrders(pg, TABLE, id, id);
    const startedAt = performance.now();
    const found = await pg.query<{ seq: string; snapshot: string }>(
      /* sql */ `select event.seq::text, pg_current_snapshot()::text as snapshot from ${outbox} event order by event.seq limit 1`,
    );
    const { seq, snapshot } = found.rows[0] ?? { seq: '0', snapshot: '' };
    await pg.query(`${BEGIN_READING};${LOOK_UP_BY_INDEX}`);
    await copyToNowhere(
      pg,
      drainSql(
        table,
        { batch: 1, generation: 1, first: seq, last: seq, snapshot },
        { rows: 'json', key: true, hasLoose: true },
      ),
    );
    await pg.query('commit');
    taken.push(performance.now() - startedAt);
    await pg.query(/* sql */ `delete from ${outbox}`);
  }
  await removeOutbox(pg, table);
  await pg.query(/* sql */ `drop table ${TABLE}`);
  return taken;
}

async function produceToFetch(environment: BenchEnvironment): Promise<readonly number[]> {
  const topic = TABLE;
  await makeTopic(environment, topic);
  const producer = environment.kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
  });
  const consumer = environment.kafka.consumer({ groupId: `bench-${topic}`, minBytes: 1, maxWaitTimeInMs: 250 });
  try {
    await Promise.all([producer.connect(), consumer.connect()]);
    await consumer.subscribe({ topic, fromBeginning: true });
    let arrived: () => void = () => undefined;
    await consumer.run({ autoCommit: false, eachMessage: () => Promise.resolve(arrived()) });
    const value = Buffer.alloc(300, 'x');
    const taken: number[] = [];
    // The first ones pay for the join and for metadata.
    for (let time = -10; time < TIMES; time += 1) {
      environment.signal.throwIfAborted();
      const arrival = new Promise<void>((resolve) => (arrived = resolve));
      const startedAt = performance.now();
      await producer.send({ topic, acks: -1, messages: [{ value }] });
      await arrival;
      if (time >= 0) taken.push(performance.now() - startedAt);
    }
    return taken;
  } finally {
    await Promise.allSettled([producer.disconnect(), consumer.disconnect()]);
  }
}

/** An insert of one row, and the query that shows it. */
async function insertToQuery({ clickhouse }: BenchEnvironment): Promise<readonly number[]> {
  await clickhouse.command({
    query: /* sql */ `create table ${TABLE} (id Int64, note String, _version UInt128, _deleted UInt8)
      engine = ReplacingMergeTree(_version, _deleted) order by id`,
  });
  const taken: number[] = [];
  for (let id = 1; id <= TIMES; id += 1) {
    const startedAt = performance.now();
    await clickhouse.insert({
      table: TABLE,
      values: [{ id, note: 'a row', _version: '1', _deleted: 0 }],
      format: 'JSONEachRow',
      clickhouse_settings: { async_insert: 0 },
    });
    const answer = await clickhouse.query({
      query: /* sql */ `select id from ${TABLE} where id > ${id - 1}`,
      format: 'TabSeparated',
    });
    if ((await answer.text()).trim() !== String(id)) throw new Error('an inserted row cannot be queried');
    taken.push(performance.now() - startedAt);
  }
  await clickhouse.command({ query: /* sql */ `drop table ${TABLE} sync` });
  return taken;
}
