import { test } from 'vitest';
import { Cluster } from '../../src/kafka/client/kafkajs.js';
import { ensureTopic } from '../../src/topic/admin.js';
import { connectTestKafka, freshTopicName, withAdmin } from '../support/kafka.js';
import { waitFor } from '../support/stack.js';

test('a connection that is idle sets no timer to look for requests: kafkajs alone would look every millisecond', async () => {
  const topic = freshTopicName();
  await withAdmin((admin) => ensureTopic(admin, { topic, retentionMs: 86_400_000 }));
  const cluster = new Cluster(connectTestKafka());
  await cluster.connect();
  const [leader] = (await cluster.leaders(topic)).values();
  const broker = await cluster.broker(leader ?? -1);
  const [connection] = broker.connectionPool.pool;
  await waitFor(
    () =>
      connection !== undefined &&
      'throttleCheckTimeoutId' in connection.requestQueue &&
      connection.requestQueue.throttleCheckTimeoutId === null,
    { deadlineMs: 1_000, everyMs: 2, what: 'the last timer' },
  );
  cluster.hangUpAll(new Error('the test is over'));
});
