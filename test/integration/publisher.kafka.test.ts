import kafkajs from 'kafkajs';
import { afterAll, describe, expect, test } from 'vitest';
import type { Failure } from '../../src/failure/failure.js';
import { parseHeader } from '../../src/messages/header.js';
import { openProducer, type PublishRequest, type Publisher } from '../../src/topic/writer.js';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { partitionOf } from '../../src/kafka/protocol/partitioner.js';
import { openReader, type Fetched } from '../../src/topic/reader.js';
import { deleteTopic, ensureTopic, topicState } from '../../src/topic/admin.js';
import {
  changeOf,
  changesBetween,
  changesOf,
  connectCuttableKafka,
  connectTestKafka,
  freshTopicName,
  idsOf,
  markOf,
  silentLog,
  withAdmin,
} from '../support/kafka.js';
import { textOf } from '../support/spans.js';
import { waitFor } from '../support/wait-for.js';

// kafkajs is CommonJS, and Node finds only some of its names by itself.
const { ConfigResourceTypes } = kafkajs;

const kafka = connectTestKafka();
const shared = openProducer(kafka, silentLog);
afterAll(async () => (await shared).close());

async function freshTopic(partitions = 1, maxMessageBytes?: number): Promise<string> {
  const topic = freshTopicName();
  await withAdmin((admin) => ensureTopic(admin, { topic, partitions, retentionMs: 86_400_000, maxMessageBytes }));
  return topic;
}

function requestFor(topic: string, more: Partial<PublishRequest> = {}): PublishRequest {
  return { topic, partitions: 1, format: 'json', origin: '00000000', generation: 1, shape: 1, batch: 1, ...more };
}

async function readAll(topic: string): Promise<Fetched> {
  const state = await withAdmin((admin) => topicState(admin, topic));
  const ranges = Object.entries(state?.offsets ?? {})
    .filter(([, { high }]) => high !== '0')
    .map(([partition, { high }]) => [partition, { first: '0', last: String(BigInt(high) - 1n) }] as const);
  const fetcher = new Fetcher(kafka);
  const start = Object.fromEntries(Object.keys(state?.offsets ?? {}).map((partition) => [partition, '0']));
  try {
    const reading = await openReader(fetcher, topic, { log: silentLog }).start(start);
    return await reading.takeExactly(Object.fromEntries(ranges));
  } finally {
    fetcher.close();
  }
}

async function highOf(topic: string): Promise<number> {
  const state = await withAdmin((admin) => topicState(admin, topic));
  return Object.values(state?.offsets ?? {}).reduce((sum, { high }) => sum + Number(high), 0);
}

/** `partition key value header`, in the order of each partition, by a consumer that knows nothing of ours. */
async function consumeAll(topic: string, count: number): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: topic });
  const seen: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ partition, message: { key, value, headers } }) => {
      const names = Object.entries(headers ?? {}).map(([name, header]) => `${name}=${String(header)}`);
      seen.push([partition, key, value, ...names].join(' '));
      return Promise.resolve();
    },
  });
  await waitFor(() => seen.length >= count, { deadlineMs: 30_000, what: `${count} messages` });
  await consumer.disconnect();
  await withAdmin((admin) => admin.deleteGroups([topic]));
  return seen;
}

describe('a batch', () => {
  test.each([
    ['json', 1],
    ['json', 3],
    ['packed', 1],
    ['packed', 3],
  ] as const)('as %s in %i partitions arrives whole', async (format, partitions) => {
    const topic = await freshTopic(partitions);
    const sent = await (
      await shared
    ).send(requestFor(topic, { partitions, format, generation: 4, batch: 12 }), changesBetween(1, 5_500, 150));
    expect(sent.rows).toBe(5_500);
    expect(sent.messages).toBe(format === 'json' ? 5_500 : await highOf(topic));
    const read = await readAll(topic);
    expect(read).toMatchObject({ rows: 5_500, highest: '5500', generation: 4 });
    expect(idsOf(read.values).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 5_500 }, (_, id) => id + 1));
    expect(parseHeader(read.headers['0'] ?? '')).toMatchObject({ generation: 4, batch: 12, kind: 'rows' });
  });

  test('of nothing sends nothing', async () => {
    const topic = await freshTopic();
    const sent = await (await shared).send(requestFor(topic), changesBetween(1, 0));
    expect(sent).toEqual({ rows: 0, messages: 0, bytes: 0 });
    expect(await highOf(topic)).toBe(0);
  });

  test('keeps the order of the changes within a partition', async () => {
    const topic = await freshTopic();
    await (await shared).send(requestFor(topic), changesBetween(1, 3_500));
    expect(idsOf((await readAll(topic)).values)).toEqual(Array.from({ length: 3_500 }, (_, id) => id + 1));
  });

  test.each(['producer', 'gzip'])(
    'is what any consumer reads, on a topic whose compression is "%s"',
    async (compression) => {
      const topic = await freshTopic(3);
      await withAdmin((admin) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: ConfigResourceTypes.TOPIC,
              name: topic,
              configEntries: [{ name: 'compression.type', value: compression }],
            },
          ],
        }),
      );
      const named = requestFor(topic, { partitions: 3, generation: 2, batch: 9 });
      await (await shared).send(named, changesBetween(1, 4_000, 300));
      const expected = Array.from({ length: 4_000 }, (_, index) => {
        const { key, value, seq } = changeOf(index + 1, 300);
        return `${partitionOf(key, 3)} ${textOf(key)} ${textOf(value)} pg2click=2/00000000/2/1/9/${index}/1/${textOf(seq)}`;
      });
      const seen = await consumeAll(topic, 4_000);
      expect(seen.toSorted()).toEqual(expected.toSorted());
      for (const partition of ['0', '1', '2']) {
        const mine = (line: string): boolean => line.startsWith(`${partition} `);
        expect(seen.filter(mine)).toEqual(expected.filter(mine));
      }
    },
  );

  test('of one topic may be sent by two at once', async () => {
    const topic = await freshTopic();
    const publisher = await shared;
    await Promise.all(
      [1, 2, 3].map((batch) =>
        publisher.send(requestFor(topic, { batch }), changesBetween(batch * 2_000, batch * 2_000 + 1_999, 1_000)),
      ),
    );
    expect(new Set(idsOf((await readAll(topic)).values)).size).toBe(6_000);
    expect(await highOf(topic)).toBe(6_000);
  });

  test('carries TRUNCATE markers as messages of their own', async () => {
    const topic = await freshTopic();
    const changes = (async function* () {
      yield changesOf(changeOf(1), markOf(2, 5n << 64n), changeOf(3), markOf(4, 7n << 64n));
      await Promise.resolve();
    })();
    const sent = await (await shared).send(requestFor(topic), changes);
    expect(sent).toMatchObject({ rows: 2, messages: 4 });
    const read = await readAll(topic);
    expect(read).toMatchObject({ rows: 2, highest: '4', truncate: String(7n << 64n) });
    expect(idsOf(read.values)).toEqual([1, 3]);
  });

  test('waits for beforeSend before each send, and sends nothing where it fails', async () => {
    const topic = await freshTopic();
    let calls = 0;
    const publisher = await shared;
    const counting = requestFor(topic, { beforeSend: () => Promise.resolve(void (calls += 1)) });
    await publisher.send(counting, changesBetween(1, 2_500, 800));
    expect(calls).toBe(3);
    const failing = requestFor(topic, { beforeSend: () => Promise.reject(new Error('not flushed')) });
    await expect(publisher.send(failing, changesBetween(1, 10))).rejects.toThrow('not flushed');
    expect(await highOf(topic)).toBe(2_500);
  });

  test('of as many rows as the one before is not taken for a repetition of it', async () => {
    const topic = await freshTopic();
    for (const batch of [0, 1, 2])
      await (await shared).send(requestFor(topic, { batch }), changesBetween(batch * 10, batch * 10 + 9));
    expect(idsOf((await readAll(topic)).values)).toEqual(Array.from({ length: 30 }, (_, id) => id));
  });

  test('of large rows is read no further than one row ahead of what is being sent', async () => {
    const topic = await freshTopic(4, 4_000_000);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    let read = 0;
    const changes = (async function* () {
      for (; read < 20; read++) yield await Promise.resolve(changesOf(changeOf(read, 2_000_000)));
    })();
    const sending = (await shared).send(requestFor(topic, { partitions: 4, beforeSend: () => gate }), changes);
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    expect(read).toBe(1);
    open();
    expect(await sending).toMatchObject({ rows: 20, messages: 20 });
    expect(await highOf(topic)).toBe(20);
  });

  test('ends with what the reading of its changes threw', async () => {
    const topic = await freshTopic();
    const changes = (async function* () {
      yield changesOf(changeOf(1));
      await Promise.resolve();
      throw new Error('connection to the source lost');
    })();
    await expect((await shared).send(requestFor(topic), changes)).rejects.toThrow('connection to the source lost');
  });
});

describe('a send that Kafka did not confirm', () => {
  test('fails: to a partition that no broker knows', async () => {
    const topic = await freshTopic(1);
    const sending = (await shared).send(requestFor(topic, { partitions: 8 }), changesBetween(1, 100));
    await expect(sending).rejects.toMatchObject({ name: 'Failure', kind: 'TopicReplaced' });
  });
});

describe('a broker that is away', () => {
  test.each(['cut', 'mute'] as const)(
    'is reported within about 10 s (%s), and the same publisher sends again after it',
    async (how) => {
      const topic = await freshTopic();
      const cable = connectCuttableKafka();
      const publisher = await openProducer(cable.kafka, silentLog);
      await publisher.send(requestFor(topic, { batch: 1 }), changesBetween(1, 10));
      cable[how]();
      const startedAt = Date.now();
      const failing = publisher.send(requestFor(topic, { batch: 2 }), changesBetween(11, 20));
      await expect(failing).rejects.toMatchObject({ kind: 'BrokerUnavailable' });
      expect(Date.now() - startedAt).toBeLessThan(14_000);
      cable.mend();
      await publisher.send(requestFor(topic, { batch: 2 }), changesBetween(11, 20));
      expect(new Set(idsOf((await readAll(topic)).values)).size).toBe(20);
      await publisher.close();
    },
  );
});

describe('a topic that was deleted', () => {
  test('is reported, and does not stop the other tables of the producer', async () => {
    const [doomed, other] = [await freshTopic(), await freshTopic()];
    const publisher: Publisher = await openProducer(kafka, silentLog);
    await publisher.send(requestFor(doomed), changesBetween(1, 10));
    await publisher.send(requestFor(other), changesBetween(1, 10));
    await withAdmin((admin) => deleteTopic(admin, doomed));
    await expect(publisher.send(requestFor(doomed), changesBetween(1, 10))).rejects.toMatchObject({
      kind: 'TopicReplaced',
      message: expect.stringContaining(doomed),
    });
    await publisher.send(requestFor(other), changesBetween(11, 20));
    expect(await highOf(other)).toBe(20);
    await publisher.close();
  });
});

describe('a message that is too large', () => {
  test('is named by topic and batch, without its values', async () => {
    const topic = await freshTopic();
    const sending = (await shared).send(requestFor(topic, { batch: 31 }), changesBetween(1, 1, 1_200_000));
    const failure = await sending.catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind: 'MessageTooLarge', message: expect.stringContaining(topic) });
    expect((failure as Error).message).toContain('batch 31');
    expect((failure as Error).message).not.toContain('xxx');
    // The producer is sound after it.
    await (await shared).send(requestFor(topic, { batch: 32 }), changesBetween(1, 5));
    expect(await highOf(topic)).toBe(5);
  });

  test('names the table and the columns of its key, and what is printed lets it through', async () => {
    const topic = await freshTopic();
    const from = {
      pipeline: 'p',
      database: 'd',
      schema: 'public',
      table: 'big one',
      key: ['tenant', 'id'],
      appendOnly: false,
    };
    const request = requestFor(topic, { batch: 33, from });
    const failure = (await (
      await shared
    )
      .send(request, changesBetween(1, 1, 1_200_000))
      .catch((error: unknown) => error)) as Failure;
    expect(failure.message).toContain('big one", whose key is (tenant, id), for topic');
    expect(failure.remedy).toContain('select "tenant", "id" from "public"."big one" t order by octet_length(t::text)');
    const value = /max\.message\.bytes=(\d+)/u.exec(String(failure.remedy))?.[1] ?? '';
    await withAdmin((admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [
          { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'max.message.bytes', value }] },
        ],
      }),
    );
    await (await shared).send(request, changesBetween(1, 1, 1_200_000));
    expect(await highOf(topic)).toBe(1);
  });

  test('is looked for by halves where the topic takes less than one send', async () => {
    const topic = await freshTopic(1, 20_000);
    const publisher = await shared;
    await publisher.send(requestFor(topic), changesBetween(1, 2_000, 100));
    expect(idsOf((await readAll(topic)).values)).toEqual(Array.from({ length: 2_000 }, (_, id) => id + 1));
    await expect(publisher.send(requestFor(topic), changesBetween(1, 1, 30_000))).rejects.toMatchObject({
      kind: 'MessageTooLarge',
    });
  });
});
