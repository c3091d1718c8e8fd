import { setImmediate as turn } from 'node:timers/promises';
import { ConfigResourceTypes } from 'kafkajs';
import { afterAll, afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { Fetcher, type FetcherOptions } from '../../src/kafka/client/fetcher.js';
import { openProducer } from '../../src/topic/writer.js';
import { openReader, type Fetched, type TopicReader, type TopicReading } from '../../src/topic/reader.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { kafkaOptions } from '../support/clients.js';
import { changesBetween, connectTestKafka, freshTopicName, silentLog, withAdmin } from '../support/kafka.js';
import { NOW, SOON, startReading, takeIds } from '../support/reading.js';
import { proxied } from '../../dev/network/proxied.js';
import { addressOf, waitFor } from '../support/stack.js';

const DAY_MS = 86_400_000;

const kafka = connectTestKafka();
const producing = openProducer(kafka, silentLog);
const fetchers: Fetcher[] = [];

afterEach(() => {
  for (const fetcher of fetchers.splice(0)) fetcher.close();
});
afterAll(async () => (await producing).close());

function openFetcher(options: FetcherOptions = {}): Fetcher {
  const fetcher = new Fetcher(kafka, options);
  fetchers.push(fetcher);
  return fetcher;
}

async function freshTopic(maxMessageBytes?: number): Promise<string> {
  const topic = freshTopicName();
  await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: DAY_MS, maxMessageBytes }));
  return topic;
}

async function publish(topic: string, first: number, last: number, width?: number): Promise<void> {
  const request = {
    topic,
    partitions: 1,
    format: 'json',
    origin: '00000000',
    generation: 1,
    shape: 1,
    batch: 1,
  } as const;
  await (await producing).send(request, changesBetween(first, last, width));
}

const readerOf = (fetcher: Fetcher, topic: string): TopicReader => openReader(fetcher, topic, { log: silentLog });

const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('one fetcher', () => {
  test('holds no more than its memory under the backlogs of several topics, and each gets a share', async () => {
    const memoryBytes = 6_000_000;
    const topics = await Promise.all(numbers(1, 5).map(() => freshTopic()));
    for (const topic of topics) await publish(topic, 1, 8_000, 500);
    const fetcher = openFetcher({ memoryBytes });
    const readings = await Promise.all(topics.map((topic) => startReading(fetcher, topic)));
    let most = 0;
    const watch = (): number => (most = Math.max(most, fetcher.memory.used));
    await waitFor(() => watch() > memoryBytes / 2, { deadlineMs: 10_000, everyMs: 1, what: 'the memory to fill' });
    // All are full and nobody takes: nothing more is fetched, but a table that comes now is served.
    let seen = -1;
    const isStill = (): boolean => seen === (seen = fetcher.memory.used) && watch() > 0;
    await waitFor(isStill, { deadlineMs: 10_000, everyMs: 500, what: 'the fetcher to stop' });
    expect(most).toBeLessThan(memoryBytes + 2_500_000);
    const late = await freshTopic();
    await publish(late, 1, 100);
    expect(await takeIds(await startReading(fetcher, late), 100)).toEqual(numbers(1, 100));
    for (const reading of readings) expect((await reading.take({ ...NOW, maxRows: 10 }))?.rows).toBe(10);
    const taking = readings.map((reading) => takeIds(reading, 7_990));
    let isReading = true;
    const all = Promise.all(taking).finally(() => (isReading = false));
    while (isReading) {
      watch();
      await turn();
    }
    for (const ids of await all) expect(ids).toEqual(numbers(11, 8_000));
    expect(fetcher.memory.used).toBe(0);
    // A response of the quiet ones may come on top, and batches come whole.
    expect(most).toBeLessThan(memoryBytes + 2_500_000);
  });

  test('serves the others while one table does not take what it has', async () => {
    const [stuck, live] = [await freshTopic(), await freshTopic()];
    const fetcher = openFetcher({ memoryBytes: 1 });
    await publish(stuck, 1, 3_000);
    const stuckReading = await startReading(fetcher, stuck);
    const liveReading = await startReading(fetcher, live);
    for (let number = 1; number <= 20; number++) {
      await publish(live, number, number);
      expect(await takeIds(liveReading, 1)).toEqual([number]);
    }
    expect(await takeIds(stuckReading, 3_000)).toEqual(numbers(1, 3_000));
  });

  test('lets go of the memory of a reading that ends, and of one that another follows', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 2_000);
    const fetcher = openFetcher();
    const reader = readerOf(fetcher, topic);
    await reader.start({ '0': '0' });
    await waitFor(() => fetcher.memory.used > 0, { deadlineMs: 5_000, everyMs: 5, what: 'something to come' });
    const atTheEnd = await reader.start({ '0': '2000' });
    expect(await atTheEnd.take(NOW)).toBeUndefined();
    expect(fetcher.memory.used).toBe(0);
    const reading = await reader.start({ '0': '0' });
    await waitFor(() => fetcher.memory.used > 0, { deadlineMs: 5_000, everyMs: 5, what: 'something to come' });
    reading[Symbol.dispose]();
    expect(fetcher.memory.used).toBe(0);
    await expect(reading.take(NOW)).rejects.toMatchObject({ kind: 'Unexpected' });
  });

  test('gives a record that is larger than what it asks for', async () => {
    const [topic, other] = [await freshTopic(9_000_000), await freshTopic()];
    const fetcher = openFetcher();
    const readings = [await startReading(fetcher, topic), await startReading(fetcher, other)] as const;
    await publish(other, 1, 1_000);
    await publish(topic, 1, 2, 5_000_000);
    await publish(topic, 3, 3);
    expect(await takeIds(readings[0], 3)).toEqual([1, 2, 3]);
    expect(await takeIds(readings[1], 1_000)).toEqual(numbers(1, 1_000));
  });
});

describe('several subscribers of one topic', () => {
  test('read it side by side from different offsets, each every message, in the memory of one fetcher', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 20_000, 200);
    const fetcher = openFetcher({ memoryBytes: 2_000_000 });
    const starts = { 'load:main': 15_000, 'load:second': 0, 'replay:x': 7_500 };
    const taking = Object.entries(starts).map(async ([subscriber, start]) => {
      const reader = openReader(fetcher, topic, { log: silentLog, subscriber });
      const reading = await reader.start({ '0': String(start) });
      const ids = await takeIds(reading, 20_000 - start);
      return { start, ids, reading };
    });
    const readings = await Promise.all(taking);
    for (const { start, ids } of readings) expect(ids).toEqual(numbers(start + 1, 20_000));
    // One that ends takes nothing from the others, and its sessions are free for the next one.
    readings[1]?.reading[Symbol.dispose]();
    const next = await openReader(fetcher, topic, { log: silentLog, subscriber: 'replay:y' }).start({ '0': '19990' });
    await publish(topic, 20_001, 20_100);
    expect(await takeIds(next, 110)).toEqual(numbers(19_991, 20_100));
    for (const index of [0, 2])
      expect(await takeIds((readings[index] as { reading: TopicReading }).reading, 100)).toEqual(
        numbers(20_001, 20_100),
      );
  });

  test('do not fence each other, while the second reading of one fences its first', async () => {
    const topic = await freshTopic();
    const fetcher = openFetcher();
    const readerFor = (subscriber: string) => openReader(fetcher, topic, { log: silentLog, subscriber });
    const other = await readerFor('replay:x').start({ '0': '0' });
    const older = await readerFor('load:main').start({ '0': '0' });
    const waiting = expect(older.take(SOON)).rejects.toMatchObject({ kind: 'Fenced' });
    const newer = await readerFor('load:main').start({ '0': '0' });
    await waiting;
    await publish(topic, 1, 10);
    for (const reading of [other, newer]) expect(await takeIds(reading, 10)).toEqual(numbers(1, 10));
  });
});

test('a topic that goes quiet and moves again loses nothing, whichever session it is in', async () => {
  const [topic, busy] = [await freshTopic(), await freshTopic()];
  const fetcher = openFetcher();
  const [reading, busyReading] = [await startReading(fetcher, topic), await startReading(fetcher, busy)];
  let next = 1;
  // Rests from shorter than a plan to longer than a topic counts as busy.
  for (const restMs of [100, 1_500, 6_500, 300]) {
    expect(await reading.take({ ...SOON, waitMs: restMs })).toBeUndefined();
    await Promise.all([publish(topic, next, next + 9), publish(busy, next, next + 9)]);
    expect(await takeIds(reading, 10)).toEqual(numbers(next, next + 9));
    expect(await takeIds(busyReading, 10)).toEqual(numbers(next, next + 9));
    next += 10;
  }
});

test('a link on which each batch takes longer than a topic may be out of sight is read on, batch by batch', async () => {
  const through = await proxied({
    postgres: addressOf('postgres'),
    kafka: addressOf('kafka'),
    clickhouse: addressOf('clickhouse'),
    temporal: addressOf('temporal'),
  });
  onTestFinished(through.close);
  const topic = await freshTopic();
  // Two or three batches of the most that is sent at once: some 16 pieces of the proxy each.
  for (let batch = 0; batch < 2; batch++) await publish(topic, batch * 2_000 + 1, (batch + 1) * 2_000, 1_000);
  const fetcher = new Fetcher(connectTestKafka(kafkaOptions(through.addresses.kafka)));
  fetchers.push(fetcher);
  const reading = await startReading(fetcher, topic);
  through.proxies.kafka.slow(60);
  expect(await takeIds(reading, 4_000)).toEqual(numbers(1, 4_000));
});

describe('a topic that the broker compresses', () => {
  /** Set later: a topic that has another codec from its beginning is refused. */
  async function compressedTopic(codec: string): Promise<string> {
    const topic = await freshTopic();
    const configEntries = [{ name: 'compression.type', value: codec }];
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }];
    await withAdmin((admin) => admin.alterConfigs({ validateOnly: false, resources }));
    return topic;
  }

  test('with gzip reads as any other, a named batch byte by byte', async () => {
    const topic = await compressedTopic('gzip');
    await publish(topic, 1, 5_000, 200);
    const fetcher = openFetcher();
    const reading = await startReading(fetcher, topic);
    // All of it is queued before the first is taken: 1.3 MB, had it not been compressed.
    await waitFor(() => reading.waiting() === 5_000 && fetcher.memory.used > 20_000, { deadlineMs: 5_000, what: 'it' });
    expect(fetcher.memory.used).toBeLessThan(500_000);
    const named = (await reading.take({ ...SOON, maxRows: 1_234 })) as Fetched;
    expect(named.rows).toBe(1_234);
    const elsewhere = readerOf(openFetcher(), topic);
    const again = await elsewhere.start({ '0': '0' });
    const exact = await again.takeExactly(named.ranges);
    expect(exact).toEqual({ ...named, oldestTimestampMs: exact.oldestTimestampMs, placeOf: exact.placeOf });
    expect(named.values.map((_, at) => exact.placeOf(at))).toEqual(named.values.map((_, at) => named.placeOf(at)));
    expect(await takeIds(reading, 5_000 - 1_234)).toEqual(numbers(1_235, 5_000));
    const { headers } = await again.takeExactly({ '0': { first: '1234', last: '3209' } });
    const resumed = await elsewhere.start({ '0': '3210' }, { headers });
    expect(await takeIds(resumed, 5_000 - 3_210)).toEqual(numbers(3_211, 5_000));
  });

  test('with another codec stops the table, with the remedy', async () => {
    const topic = await compressedTopic('lz4');
    await publish(topic, 1, 5);
    const reading = await startReading(openFetcher(), topic);
    await expect(reading.take(SOON)).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: expect.stringContaining('lz4'),
      remedy: expect.stringContaining('compression.type=producer'),
    });
  });
});

describe('a foreign transaction', () => {
  test.each(['open', 'aborted'] as const)('that is %s is reported, and not waited for or passed over', async (how) => {
    const topic = await freshTopic();
    await publish(topic, 1, 3);
    const foreign = kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
    await foreign.connect();
    const transaction = await foreign.transaction();
    await transaction.send({ topic, messages: [{ value: '{"id":4}' }] });
    if (how === 'aborted') await transaction.abort();
    const reading = await startReading(openFetcher(), topic);
    expect(await takeIds(reading, 3)).toEqual([1, 2, 3]);
    await expect(reading.take(SOON)).rejects.toMatchObject({ kind: 'TopicReplaced' });
    if (how === 'open') await transaction.abort();
    await foreign.disconnect();
  });
});
