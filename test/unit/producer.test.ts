import { describe, expect, test } from 'vitest';
import { classifyKafka } from '../../src/failure/classify-kafka.js';
import { MissingPartition } from '../../src/kafka/client/errors.js';
import { KafkaProducer, requireTimeLimits } from '../../src/kafka/client/producer.js';
import { RecordBatchWriter } from '../../src/kafka/protocol/record-batch-writer.js';
import { connectTestKafka } from '../support/kafka.js';
import { ScriptedBroker } from '../support/scripted-broker.js';
import { spanOf } from '../support/spans.js';

const [UNKNOWN_TOPIC, NOT_LEADER, MESSAGE_TOO_LARGE, NOT_ENOUGH_REPLICAS] = [3, 6, 10, 19];

async function open(): Promise<{ broker: ScriptedBroker; producer: KafkaProducer }> {
  const broker = await ScriptedBroker.start();
  broker.topics.set('t', 1);
  const producer = new KafkaProducer(connectTestKafka({ brokers: [broker.address] }), {
    isTransient: (error) => classifyKafka(error, '').kind === 'BrokerUnavailable',
  });
  return { broker, producer };
}

function batchOf(text: string): RecordBatchWriter {
  const batch = new RecordBatchWriter();
  batch.append(null, spanOf(text), []);
  return batch;
}

const textsIn = (batches: readonly { bytes: Buffer }[]): string[] =>
  batches.map(({ bytes }) => /batch \w+/u.exec(bytes.toString('latin1'))?.[0] ?? '');

describe('a send that was given up', () => {
  test('after the batch was appended and leadership moved uses its numbers for no other batch', async () => {
    const { broker, producer } = await open();
    // The leader appends batch A and answers that it is not the leader any more; then the partition has too few replicas.
    broker.onProduce = (batch) =>
      broker.arrived.length === 1
        ? { append: true, errorCode: NOT_LEADER }
        : { append: false, errorCode: textsIn([batch])[0] === 'batch A' ? NOT_ENOUGH_REPLICAS : 0 };
    await expect(producer.send('t', 0, batchOf('batch A'))).rejects.toThrow();
    broker.onProduce = () => ({ append: true, errorCode: 0 });
    await producer.send('t', 0, batchOf('batch B'));
    expect(textsIn(broker.log)).toEqual(['batch A', 'batch B']);
    producer.close();
  });

  test('has no other batch between its attempts: the second send waits', async () => {
    const { broker, producer } = await open();
    broker.onProduce = () => ({ append: true, errorCode: broker.arrived.length < 3 ? NOT_ENOUGH_REPLICAS : 0 });
    const first = producer.send('t', 0, batchOf('batch A'));
    const second = producer.send('t', 0, batchOf('batch B'));
    await Promise.all([first, second]);
    expect(textsIn(broker.arrived)).toEqual(['batch A', 'batch A', 'batch A', 'batch B']);
    producer.close();
  });
});

describe('a producer session', () => {
  test('goes on after an answer that says that nothing was written', async () => {
    const { broker, producer } = await open();
    broker.onProduce = () => ({ append: true, errorCode: broker.arrived.length < 2 ? NOT_ENOUGH_REPLICAS : 0 });
    await producer.send('t', 0, batchOf('batch A'));
    await producer.send('t', 0, batchOf('batch B'));
    expect(broker.arrived.map(({ sequence }) => sequence)).toEqual([0, 0, 1]);
    expect(new Set(broker.arrived.map(({ producerId }) => producerId)).size).toBe(1);
    producer.close();
  });

  test.each([NOT_LEADER, UNKNOWN_TOPIC])(
    'ends with error %i: the leader may have written the batch',
    async (errorCode) => {
      const { broker, producer } = await open();
      broker.onProduce = () => ({ append: true, errorCode: broker.arrived.length < 2 ? errorCode : 0 });
      const sending = producer.send('t', 0, batchOf('batch A'));
      await sending;
      expect(new Set(broker.arrived.map(({ producerId }) => producerId)).size).toBe(2);
      expect(broker.arrived.map(({ sequence }) => sequence)).toEqual([0, 0]);
      producer.close();
    },
  );

  test('ends with a send that was given up although nothing was written', async () => {
    const { broker, producer } = await open();
    broker.onProduce = () => ({ append: false, errorCode: MESSAGE_TOO_LARGE });
    await expect(producer.send('t', 0, batchOf('batch A'))).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' });
    broker.onProduce = () => ({ append: true, errorCode: 0 });
    await producer.send('t', 0, batchOf('batch B'));
    expect(new Set(broker.arrived.map(({ producerId }) => producerId)).size).toBe(2);
    producer.close();
  });

  test('lets the sends to other partitions go on when it ends', async () => {
    const { broker, producer } = await open();
    broker.topics.set('t', 2);
    broker.onProduce = (batch) => ({
      append: true,
      errorCode: batch.partition === 0 && broker.arrived.length < 3 ? NOT_LEADER : 0,
    });
    const texts = ['batch A', 'batch B', 'batch C'];
    await Promise.all([
      producer.send('t', 0, batchOf('batch X')),
      ...texts.map((text) => producer.send('t', 1, batchOf(text))),
    ]);
    expect(textsIn(broker.log.filter(({ partition }) => partition === 1))).toEqual(texts);
    producer.close();
  });
});

test('a topic that a broker does not know yet is sent to when it knows it', async () => {
  const { broker, producer } = await open();
  broker.topics.delete('t');
  let questions = 0;
  broker.onMetadata = () => {
    if ((questions += 1) === 3) broker.topics.set('t', 1);
    return undefined;
  };
  await producer.send('t', 0, batchOf('batch A'));
  expect(textsIn(broker.log)).toEqual(['batch A']);
  producer.close();
});

test('a partition that no broker knows is named', async () => {
  const { producer } = await open();
  const failed = await producer.send('t', 7, batchOf('batch A')).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(MissingPartition);
  expect(failed).toMatchObject({ topic: 't', partition: 7, partitions: 1 });
  producer.close();
});

test('retries must end before a silent broker counts as silent', () => {
  expect(() => requireTimeLimits({ quietMs: 5_000, retryMs: 4_999 })).not.toThrow();
  expect(() => requireTimeLimits({ quietMs: 5_000, retryMs: 5_000 })).toThrow(/retries \(5000 ms\) must be shorter/u);
});
