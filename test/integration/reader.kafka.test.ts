import type { Kafka } from 'kafkajs';
import { pino } from 'pino';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { printHeader } from '../../src/messages/header.js';
import { openProducer, type PublishRequest } from '../../src/topic/writer.js';
import { Fetcher, type FetcherOptions } from '../../src/kafka/client/fetcher.js';
import { openReader, type Fetched, type TopicReader, type TopicReading } from '../../src/topic/reader.js';
import { deleteTopic, ensureTopic, topicState } from '../../src/topic/admin.js';
import {
  changesBetween,
  changesOf,
  connectCuttableKafka,
  connectTestKafka,
  expireBefore,
  freshTopicName,
  idsOf,
  markOf,
  silentLog,
  withAdmin,
} from '../support/kafka.js';
import { NOW, SOON } from '../support/reading.js';
import { waitFor } from '../support/stack.js';

const DAY_MS = 86_400_000;

const kafka = connectTestKafka();
const producing = openProducer(kafka, silentLog);
const fetchers: Fetcher[] = [];

afterEach(() => {
  for (const fetcher of fetchers.splice(0)) fetcher.close();
});
afterAll(async () => (await producing).close());

async function makeTopic(topic: string, partitions = 1): Promise<string> {
  await withAdmin((admin) => ensureTopic(admin, { topic, partitions, retentionMs: DAY_MS }));
  return topic;
}

const freshTopic = (partitions?: number) => makeTopic(freshTopicName(), partitions);

async function publish(topic: string, first: number, last: number, more: Partial<PublishRequest> = {}): Promise<void> {
  const request = {
    topic,
    partitions: 1,
    format: 'json',
    origin: '00000000',
    generation: 1,
    shape: 1,
    batch: 1,
    ...more,
  } as const;
  await (await producing).send(request, changesBetween(first, last));
}

/** In a worker of its own. */
function open(topic: string, options: FetcherOptions = {}, client: Kafka = kafka): TopicReader {
  const fetcher = new Fetcher(client, options);
  fetchers.push(fetcher);
  return openReader(fetcher, topic, { log: silentLog });
}

/** Takes until so many rows came. */
async function takeRows(reading: TopicReading, rows: number, options = SOON): Promise<Fetched[]> {
  const taken: Fetched[] = [];
  for (let count = 0; count < rows;) {
    const fetched = await reading.take(options);
    if (fetched === undefined) throw new Error(`${count} of ${rows} rows came`);
    taken.push(fetched);
    count += fetched.rows;
  }
  return taken;
}

const idsIn = (taken: readonly Fetched[]) => taken.flatMap(({ values }) => idsOf(values));
const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('take', () => {
  test('continues offset by offset, and says what it took', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 2_500, { generation: 2, batch: 7 });
    const reading = await open(topic).start({ '0': '0' }, { generation: 2 });
    const taken = await takeRows(reading, 2_500, { ...SOON, maxRows: 700 });
    expect(idsIn(taken)).toEqual(numbers(1, 2_500));
    let next = 0;
    for (const { ranges, rows, generation } of taken) {
      expect(ranges['0']).toEqual({ first: String(next), last: String(next + rows - 1) });
      expect(rows).toBeLessThanOrEqual(700);
      expect(generation).toBe(2);
      next += rows;
    }
    const last = taken.at(-1);
    expect(last?.highest).toBe('2500');
    expect(last?.headers['0']).toBe(
      printHeader({
        origin: '00000000',
        generation: 2,
        shape: 1,
        batch: 7,
        row: 2_499,
        rows: 1,
        highest: '2500',
        kind: 'rows',
      }),
    );
    expect(Date.now() - (last?.oldestTimestampMs ?? 0)).toBeLessThan(60_000);
    expect(await reading.take(NOW)).toBeUndefined();
    expect(reading.waiting()).toBe(0);
  });

  test('goes by bytes too, but always takes one message', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10);
    const reading = await open(topic).start({ '0': '0' });
    const taken = await takeRows(reading, 10, { ...SOON, maxBytes: 1 });
    expect(taken).toHaveLength(10);
    expect(idsIn(taken)).toEqual(numbers(1, 10));
  });

  test('waits only where there is nothing, and gives what comes at once', async () => {
    const topic = await freshTopic();
    const reading = await open(topic).start({ '0': '0' });
    const before = Date.now();
    expect(await reading.take({ ...SOON, waitMs: 100 })).toBeUndefined();
    expect(Date.now() - before).toBeLessThan(1_000);
    const taking = reading.take(SOON);
    await publish(topic, 1, 3);
    const publishedAt = Date.now();
    expect(idsOf((await taking)?.values ?? [])).toEqual([1, 2, 3]);
    expect(Date.now() - publishedAt).toBeLessThan(2_000);
  });

  test('gives nothing when the signal is aborted', async () => {
    const reading = await open(await freshTopic()).start({ '0': '0' });
    const taking = reading.take({ ...SOON, waitMs: 60_000, signal: AbortSignal.timeout(50) });
    expect(await taking).toBeUndefined();
  });

  test('takes all partitions, each without a gap, packed as well', async () => {
    const topic = await freshTopic(3);
    await publish(topic, 1, 9_000, { partitions: 3, format: 'packed' });
    const reading = await open(topic).start({ '0': '0', '1': '0', '2': '0' });
    const taken = await takeRows(reading, 9_000);
    expect(idsIn(taken).toSorted((a, b) => a - b)).toEqual(numbers(1, 9_000));
    expect(new Set(taken.flatMap(({ ranges }) => Object.keys(ranges)))).toEqual(new Set(['0', '1', '2']));
  });

  test('holds no more than its memory, and loses nothing by waiting', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 40_000);
    const reading = await open(topic, { memoryBytes: 1 }).start({ '0': '0' });
    const first = (await reading.take(SOON))?.rows ?? 0;
    // One response, not the whole topic.
    expect(first).toBeLessThan(40_000);
    expect(first + idsIn(await takeRows(reading, 40_000 - first)).length).toBe(40_000);
  });

  test('starts again anywhere, and drops what was fetched for before', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 3_000);
    const reader = open(topic);
    for (const start of [0, 2_000, 500, 2_999]) {
      const reading = await reader.start({ '0': String(start) });
      expect(idsIn(await takeRows(reading, 3_000 - start))).toEqual(numbers(start + 1, 3_000));
    }
  });

  test('fences the reading that was started before: what comes is for the newest one', async () => {
    const topic = await freshTopic();
    const reader = open(topic);
    const [asksLater, waits] = [await reader.start({ '0': '0' }), await reader.start({ '0': '0' })];
    const waiting = expect(waits.take(SOON)).rejects.toMatchObject({ kind: 'Fenced' });
    const reading = await reader.start({ '0': '0' });
    await waiting;
    await publish(topic, 1, 10);
    await waitFor(() => reading.waiting() === 10, { deadlineMs: 10_000, what: 'all to be queued' });
    for (const each of [waits, asksLater]) {
      await expect(each.take(NOW)).rejects.toMatchObject({ kind: 'Fenced' });
      await expect(each.takeExactly({ '0': { first: '0', last: '9' } })).rejects.toMatchObject({ kind: 'Fenced' });
      each[Symbol.dispose]();
    }
    expect(idsIn(await takeRows(reading, 10))).toEqual(numbers(1, 10));
  });
});

describe('takeExactly', () => {
  test('gives a named batch again, byte by byte, to another process too', async () => {
    const topic = await freshTopic(2);
    await publish(topic, 1, 3_000, { partitions: 2 });
    const reading = await open(topic).start({ '0': '0', '1': '0' });
    const named = (await reading.take({ ...SOON, maxRows: 1_234 })) as Fetched;
    await publish(topic, 3_001, 4_000, { partitions: 2 });
    const other = await open(topic).start({ '0': '0', '1': '0' });
    const again = await other.takeExactly(named.ranges);
    expect(again).toEqual({ ...named, oldestTimestampMs: again.oldestTimestampMs, placeOf: again.placeOf });
    expect(named.values.map((_, at) => again.placeOf(at))).toEqual(named.values.map((_, at) => named.placeOf(at)));
    // And goes on after it.
    const rest = await takeRows(other, 4_000 - named.rows);
    expect(new Set([...idsOf(named.values), ...idsIn(rest)]).size).toBe(4_000);
  });

  test('reports a topic that ends before the batch does, instead of waiting for it', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10);
    const reading = await open(topic).start({ '0': '0' });
    await expect(reading.takeExactly({ '0': { first: '0', last: '10' } })).rejects.toMatchObject({
      kind: 'TopicReplaced',
    });
  });
});

describe('a message that is not of this table', () => {
  test('of an older generation is passed over', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 5, { generation: 1 });
    await publish(topic, 6, 8, { generation: 2 });
    const reading = await open(topic).start({ '0': '0' }, { generation: 2 });
    const taken = await takeRows(reading, 3);
    expect(idsIn(taken)).toEqual([6, 7, 8]);
    expect(taken[0]?.ranges['0']?.first).toBe('0');
  });

  test('of a newer generation than the ledger knows stop the table, after what comes before them', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 5, { generation: 1 });
    await publish(topic, 6, 8, { generation: 2 });
    const reading = await open(topic).start({ '0': '0' }, { generation: 1 });
    expect(idsIn(await takeRows(reading, 5))).toEqual(numbers(1, 5));
    await expect(reading.take(SOON)).rejects.toMatchObject({ kind: 'LedgerSetBack' });
  });

  test.each([
    ['no header', { value: '{"id":6}' }],
    ['a header that is not ours', { value: '{"id":6}', headers: { pg2click: 'v2;gen=1' } }],
    ['no value', { value: null, headers: { pg2click: '1/1/0/1/6' } }],
  ])('with %s stops the table, after what comes before it', async (_, message) => {
    const topic = await freshTopic();
    await publish(topic, 1, 5);
    const foreign = kafka.producer({ createPartitioner: () => () => 0 });
    await foreign.connect();
    await foreign.send({ topic, messages: [message] });
    await foreign.disconnect();
    const reading = await open(topic).start({ '0': '0' });
    expect(idsIn(await takeRows(reading, 5))).toEqual(numbers(1, 5));
    await expect(reading.take(SOON)).rejects.toMatchObject({ name: 'Failure', kind: 'TopicReplaced' });
  });

  test('is no row when it is a TRUNCATE marker: its version is reported', async () => {
    const topic = await freshTopic();
    const changes = (async function* () {
      yield changesOf(markOf(1, 3n << 64n), markOf(2, 9n << 64n), markOf(3, 4n << 64n));
      await Promise.resolve();
    })();
    await (
      await producing
    ).send({ topic, partitions: 1, format: 'json', origin: '00000000', generation: 1, shape: 1, batch: 1 }, changes);
    const reading = await open(topic).start({ '0': '0' });
    expect(await reading.take(SOON)).toMatchObject({ rows: 0, values: [], highest: '3', truncate: String(9n << 64n) });
  });
});

describe('history that is gone', () => {
  test('below the first offset is reported, and not jumped over', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 100);
    await expireBefore(topic, 50);
    const reader = open(topic);
    await expect(reader.start({ '0': '49' })).rejects.toMatchObject({ kind: 'OffsetsExpired' });
    const reading = await reader.start({ '0': '50' });
    expect(idsIn(await takeRows(reading, 50))).toEqual(numbers(51, 100));
  });

  test('is reported also when Kafka deletes it while we wait for room', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 1_000);
    const reading = await open(topic, { memoryBytes: 1 }).start({ '0': '0' });
    expect(await reading.take({ ...SOON, maxRows: 1 })).toMatchObject({ rows: 1 });
    await publish(topic, 1_001, 2_000);
    await expireBefore(topic, 1500);
    expect(idsIn(await takeRows(reading, 999))).toEqual(numbers(2, 1_000));
    await expect(reading.take(SOON)).rejects.toMatchObject({
      kind: 'OffsetsExpired',
      message: expect.stringContaining('1499'),
    });
  });

  test('above the last offset is a topic made again', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10);
    const reader = open(topic);
    await expect(reader.start({ '0': '11' })).rejects.toMatchObject({ kind: 'TopicReplaced' });
    await reader.start({ '0': '10' });
  });

  test('with the topic itself is reported at the start, by name', async () => {
    const topic = freshTopicName();
    const reader = open(topic);
    await expect(reader.start({ '0': '0' })).rejects.toMatchObject({
      kind: 'TopicReplaced',
      message: expect.stringContaining(topic),
    });
  });

  test('in a topic made again, and as long as the old one, is recognised by the record before the position', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10, { batch: 1 });
    const reader = open(topic);
    const [{ headers }] = (await takeRows(await reader.start({ '0': '0' }), 10)) as [Fetched];
    await reader.start({ '0': '10' }, { headers });
    await withAdmin((admin) => deleteTopic(admin, topic));
    await makeTopic(topic);
    await publish(topic, 11, 25, { batch: 2 });
    const other = open(topic);
    await expect(other.start({ '0': '10' }, { headers })).rejects.toMatchObject({
      kind: 'TopicReplaced',
      message: expect.stringContaining('offset 9'),
    });
    // The trap: no gap, no error, the rows of offsets 0 to 9 are lost.
    const reading = await other.start({ '0': '10' });
    expect(idsIn(await takeRows(reading, 5))).toEqual(numbers(21, 25));
  });

  test.each([
    ['shorter', 5],
    ['longer', 30],
    ['empty', 0],
  ])('in a topic made again under a running reader (%s) is reported', async (_, length) => {
    const topic = await freshTopic();
    await publish(topic, 1, 10, { batch: 1 });
    const reading = await open(topic).start({ '0': '0' });
    await takeRows(reading, 10);
    await withAdmin((admin) => deleteTopic(admin, topic));
    await makeTopic(topic);
    if (length > 0) await publish(topic, 101, 100 + length, { batch: 9 });
    await expect(
      (async () => {
        for (;;) await reading.take(SOON);
      })(),
    ).rejects.toMatchObject({ kind: 'TopicReplaced' });
  });

  test('in a topic made again after it was found gone is reported: it could be read on at the old offset', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10, { batch: 1 });
    let hasFoundItGone = false;
    const watching = pino(
      { level: 'debug' },
      { write: (line) => (hasFoundItGone ||= line.includes('UNKNOWN_TOPIC_OR_PARTITION')) },
    );
    const fetcher = new Fetcher(kafka);
    fetchers.push(fetcher);
    const reading = await openReader(fetcher, topic, { log: watching }).start({ '0': '0' });
    await takeRows(reading, 10);
    await withAdmin((admin) => deleteTopic(admin, topic));
    await waitFor(() => hasFoundItGone, { deadlineMs: 10_000, everyMs: 2, what: 'the reader to miss the topic' });
    await makeTopic(topic);
    await publish(topic, 101, 130, { batch: 9 });
    await expect(
      (async () => {
        for (;;) await reading.take(SOON);
      })(),
    ).rejects.toMatchObject({ kind: 'TopicReplaced' });
  });

  test('in a topic made again while the reader waits for room is reported: no fetch saw it gone', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10, { batch: 1 });
    const reading = await open(topic, { memoryBytes: 1 }).start({ '0': '0' });
    expect(await reading.take({ ...SOON, maxRows: 1 })).toMatchObject({ rows: 1 });
    const heldSince = Date.now();
    await withAdmin((admin) => deleteTopic(admin, topic));
    await makeTopic(topic);
    await publish(topic, 101, 130, { batch: 9 });
    // Longer than fetches are ever apart.
    await waitFor(() => Date.now() - heldSince > 2_500, { deadlineMs: 10_000, what: '2.5 s to pass' });
    expect(idsIn(await takeRows(reading, 9))).toEqual(numbers(2, 10));
    await expect(reading.take(SOON)).rejects.toMatchObject({ kind: 'TopicReplaced' });
  });

  test('in the record before the position, alone, is no loss: it has expired', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10);
    await expireBefore(topic, 10);
    expect((await withAdmin((admin) => topicState(admin, topic)))?.offsets['0']?.low).toBe('10');
    const reading = await open(topic).start({ '0': '10' }, { headers: { '0': '1/1/9/1/10' } });
    await publish(topic, 11, 12);
    expect(idsIn(await takeRows(reading, 2))).toEqual([11, 12]);
  });
});

describe('a gap', () => {
  test('in the offsets is reported: a transactional producer leaves one', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 5);
    const transactional = kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
    await transactional.connect();
    const transaction = await transactional.transaction();
    await transaction.send({ topic, messages: [{ value: '{"id":6}', headers: { pg2click: '1/1/5/1/6' } }] });
    await transaction.commit();
    await transactional.disconnect();
    // The marker of the commit, which takes an offset, follows a moment later.
    await waitFor(async () => (await withAdmin((admin) => topicState(admin, topic)))?.offsets['0']?.high === '7', {
      deadlineMs: 10_000,
      what: 'the marker',
    });
    await publish(topic, 7, 9);
    const reading = await open(topic).start({ '0': '0' });
    const taking = (async () => {
      for (;;) await reading.take(SOON);
    })();
    await expect(taking).rejects.toMatchObject({ kind: 'OffsetGap' });
  });
});

describe('partitions', () => {
  test('that were added are reported at the start', async () => {
    const topic = await freshTopic();
    await publish(topic, 1, 10);
    const reader = open(topic);
    const reading = await reader.start({ '0': '0' });
    await takeRows(reading, 10);
    await withAdmin((admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }));
    await waitFor(async () => (await withAdmin((admin) => topicState(admin, topic)))?.partitions === 2, {
      deadlineMs: 10_000,
      what: 'the second partition',
    });
    await expect(reader.start({ '0': '10' })).rejects.toMatchObject({ kind: 'PartitionsChanged' });
  });
});

describe('a broker that is away', () => {
  test.each(['cut', 'mute'] as const)('is reported (%s), and the reader starts again where it was', async (how) => {
    const topic = await freshTopic();
    await publish(topic, 1, 1_000);
    const cable = connectCuttableKafka();
    const reader = open(topic, {}, cable.kafka);
    const reading = await reader.start({ '0': '0' });
    const taken = await takeRows(reading, 1_000);
    cable[how]();
    const startedAt = Date.now();
    await expect(
      (async () => {
        for (;;) await reading.take({ ...SOON, waitMs: 500 });
      })(),
    ).rejects.toMatchObject({ kind: 'BrokerUnavailable' });
    expect(Date.now() - startedAt).toBeLessThan(14_000);
    await publish(topic, 1_001, 1_500);
    await expect(reader.start({ '0': '1000' })).rejects.toMatchObject({ kind: 'BrokerUnavailable' });
    cable.mend();
    const again = await reader.start({ '0': '1000' }, { headers: taken.at(-1)?.headers ?? {} });
    expect(idsIn(await takeRows(again, 500))).toEqual(numbers(1_001, 1_500));
  });
});
