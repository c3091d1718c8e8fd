import { describe, expect, onTestFinished, test } from 'vitest';
import { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openReader, type ReaderOptions, type TopicReader } from '../../src/topic/reader.js';
import { openProducer, type PublishRequest } from '../../src/topic/writer.js';
import { changesBetween, connectTestKafka, idsOf, silentLog } from '../support/kafka.js';
import { NOW, SOON, takeIds } from '../support/reading.js';
import { ScriptedBroker } from '../support/scripted-broker.js';

const [OUT_OF_ORDER, STORAGE_ERROR] = [45, 56] as const;

async function open(): Promise<{
  broker: ScriptedBroker;
  readerOf: (options?: Partial<ReaderOptions>) => TopicReader;
  publish: (first: number, last: number, more?: Partial<PublishRequest>) => Promise<unknown>;
}> {
  const broker = await ScriptedBroker.start();
  broker.topics.set('t', 1);
  const kafka = connectTestKafka({ brokers: [broker.address] });
  const fetcher = new Fetcher(kafka);
  const publisher = await openProducer(kafka, silentLog);
  onTestFinished(async () => {
    fetcher.close();
    await publisher.close();
  });
  const request = {
    topic: 't',
    partitions: 1,
    format: 'json',
    origin: '00000000',
    generation: 1,
    shape: 1,
    batch: 1,
  } as const;
  return {
    broker,
    readerOf: (options) => openReader(fetcher, 't', { log: silentLog, ...options }),
    publish: (first, last, more) => publisher.send({ ...request, ...more }, changesBetween(first, last)),
  };
}

describe('a partition that its broker refuses to serve', () => {
  test('is reported with the name of the error, after 10 s', async () => {
    const { broker, readerOf } = await open();
    broker.onFetch = () => STORAGE_ERROR;
    const reading = await readerOf().start({ '0': '0' });
    const taking = (async () => {
      for (;;) await reading.take({ ...NOW, waitMs: 500 });
    })();
    await expect(taking).rejects.toMatchObject({
      kind: 'BrokerUnavailable',
      message: 'Reading topic t: Kafka does not serve partition 0 (KAFKA_STORAGE_ERROR, code 56).',
    });
  });

  test('is read on where the error passes', async () => {
    const { broker, readerOf, publish } = await open();
    await publish(1, 10);
    broker.onFetch = () => (broker.fetches < 3 ? STORAGE_ERROR : 0);
    expect(await takeIds(await readerOf().start({ '0': '0' }), 10)).toHaveLength(10);
  });
});

describe('of two readings of one subscriber', () => {
  test('the one that was started later goes on, although Kafka answered the older one later', async () => {
    const { broker, readerOf } = await open();
    const reader = readerOf();
    // The broker does not know the topic yet when the older one asks, so that one asks again 100 ms later.
    broker.topics.delete('t');
    const older = expect(reader.start({ '0': '0' })).rejects.toMatchObject({ kind: 'Fenced' });
    let questions = 0;
    broker.onMetadata = () => {
      if ((questions += 1) === 2) broker.topics.set('t', 1);
      return undefined;
    };
    const newer = await reader.start({ '0': '0' });
    await older;
    expect(await newer.take({ ...SOON, waitMs: 100 })).toBeUndefined();
  });
});

describe('a reader that knows its deployment', () => {
  const origin = '0a1b2c3d';

  test('refuses the message of another one, after those before it, and names both', async () => {
    const { readerOf, publish } = await open();
    await publish(1, 5, { origin });
    await publish(6, 8, { origin: 'deadbeef' });
    const reading = await readerOf({ origin }).start({ '0': '0' }, { generation: 1 });
    expect(await takeIds(reading, 5)).toEqual([1, 2, 3, 4, 5]);
    await expect(reading.take(SOON)).rejects.toMatchObject({
      kind: 'TopicReplaced',
      message: expect.stringMatching(
        /^The message at offset 5 of t\/0 was written by deployment deadbeef, this is deployment 0a1b2c3d\./u,
      ),
    });
  });

  test('refuses it whatever its generation is', async () => {
    for (const generation of [1, 3]) {
      const { readerOf, publish } = await open();
      await publish(1, 1, { origin: 'deadbeef', generation });
      const reading = await readerOf({ origin }).start({ '0': '0' }, { generation: 2 });
      await expect(reading.take(SOON)).rejects.toMatchObject({ kind: 'TopicReplaced' });
    }
  });
});

test('two subscribers read one partition side by side, each from its own offset', async () => {
  const { readerOf, publish } = await open();
  await publish(1, 500);
  const [live, replay] = [
    await readerOf({ subscriber: 'load:main' }).start({ '0': '400' }),
    await readerOf({ subscriber: 'replay:x' }).start({ '0': '0' }),
  ];
  await publish(501, 600);
  const [recent, all] = await Promise.all([takeIds(live, 200), takeIds(replay, 600)]);
  expect(recent).toEqual(Array.from({ length: 200 }, (_, index) => index + 401));
  expect(all).toEqual(Array.from({ length: 600 }, (_, index) => index + 1));
  replay[Symbol.dispose]();
  await publish(601, 601);
  expect(idsOf((await live.take(SOON))?.values ?? [])).toEqual([601]);
});

test('a broker that misses the sequence numbers before is sent nothing more: the end of the topic is looked at first', async () => {
  const { broker, publish } = await open();
  const written: unknown[] = [];
  await publish(1, 10, { onWritten: (range) => void written.push(range) });
  broker.onProduce = () => ({ append: false, errorCode: OUT_OF_ORDER });
  await expect(publish(11, 20, { batch: 2 })).rejects.toMatchObject({ kind: 'BrokerUnavailable' });
  expect(broker.arrived).toHaveLength(2);
  expect(written).toEqual([{ partition: 0, first: 0n, last: 9n }]);
});
