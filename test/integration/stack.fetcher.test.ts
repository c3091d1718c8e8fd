import type { Kafka } from 'kafkajs';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openProducer, type Publisher } from '../../src/topic/writer.js';
import { openReader, type Fetched, type TopicReading } from '../../src/topic/reader.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { changesBetween, connectCuttableKafka, connectTestKafka, idsOf, silentLog } from '../support/kafka.js';
import { NOW, SOON, startReading, takeIds } from '../support/reading.js';
import { newStateDir } from '../support/state-dir.js';
import { waitFor } from '../support/wait-for.js';

const DAY_MS = 86_400_000;

const stateDir = newStateDir();
let stack: Stack;
let brokers: string[];
let kafka: Kafka;
let publisher: Publisher;

beforeAll(async () => {
  stack = await startStack({ stateDir, servers: ['kafka'], report: () => undefined });
  brokers = stack.addresses.kafka.bootstrap.split(',');
  kafka = connectTestKafka({ brokers });
  publisher = await openProducer(kafka, silentLog);
});
afterAll(async () => {
  await publisher.close();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

async function makeTopics(topics: readonly string[]): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  for (const topic of topics) await ensureTopic(admin, { topic, retentionMs: DAY_MS });
  await admin.disconnect();
}

async function publish(topic: string, first: number, last: number): Promise<void> {
  const request = {
    topic,
    partitions: 1,
    format: 'json',
    origin: '00000000',
    generation: 1,
    shape: 1,
    batch: 1,
  } as const;
  await publisher.send(request, changesBetween(first, last));
}

const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('a fetcher', () => {
  test('reads 300 topics over four sockets, and is quick for those that have something', async () => {
    const topics = numbers(1, 300).map((number) => `many.${number}`);
    await makeTopics(topics);
    const cable = connectCuttableKafka({ brokers });
    const fetcher = new Fetcher(cable.kafka);
    const readings = await Promise.all(topics.map((topic) => startReading(fetcher, topic)));

    const busy = [17, 99, 250];
    const latencies: number[] = [];
    for (let round = 0; round < 10; round++)
      await Promise.all(
        busy.map(async (index) => {
          const taking = takeIds(readings[index] as TopicReading, 1);
          await publish(topics[index] ?? '', round, round);
          const publishedAt = Date.now();
          expect(await taking).toEqual([round]);
          latencies.push(Date.now() - publishedAt);
        }),
      );
    expect(latencies.toSorted((a, b) => a - b)[15]).toBeLessThan(150);
    for (const [index, reading] of readings.entries())
      if (!busy.includes(index)) expect(await reading.take(NOW)).toBeUndefined();
    expect(cable.open()).toBeLessThanOrEqual(4);
    fetcher.close();
    await waitFor(() => cable.open() === 0, { deadlineMs: 5_000, what: 'its sockets to go' });
  });

  test('is fetched from again by itself after its broker was killed, all tables, offset by offset', async () => {
    const topics = ['one', 'two', 'three'];
    await makeTopics(topics);
    const fetcher = new Fetcher(kafka);
    const tables = topics.map((topic) => ({
      reader: openReader(fetcher, topic, { log: silentLog }),
      ids: [] as number[],
    }));
    let isOver = false;
    // As a slice does it: a failure that passes starts again from the last position.
    const reading = tables.map(async ({ reader, ids }) => {
      let next = '0';
      let headers: Fetched['headers'] = {};
      while (!isOver) {
        try {
          using slice = await reader.start({ '0': next }, { headers });
          while (!isOver) {
            const fetched = await slice.take({ ...SOON, waitMs: 200 });
            if (fetched === undefined) continue;
            expect(fetched.ranges['0']?.first).toBe(next);
            ids.push(...idsOf(fetched.values));
            next = String(Number(fetched.ranges['0']?.last) + 1);
            headers = fetched.headers;
          }
        } catch (error) {
          expect(error).toMatchObject({ kind: 'BrokerUnavailable' });
        }
      }
    });
    const arrived = (count: number) =>
      waitFor(
        (see) => {
          see(tables.map(({ ids }) => ids.length));
          return tables.every(({ ids }) => ids.length >= count);
        },
        { deadlineMs: 30_000, what: `${count} rows of each` },
      );
    for (const topic of topics) await publish(topic, 1, 2_000);
    await arrived(2_000);
    await stack.kill('kafka');
    await stack.start('kafka');
    for (const topic of topics) {
      const sending = () => publish(topic, 2_001, 2_500).then(() => true);
      await waitFor(() => sending().catch(() => false), { deadlineMs: 30_000, what: 'the publisher to go on' });
    }
    await arrived(2_500);
    isOver = true;
    await Promise.all(reading);
    // A publisher that heard nothing may have sent twice.
    for (const { ids } of tables) expect([...new Set(ids)]).toEqual(numbers(1, 2_500));
    fetcher.close();
  });
});
