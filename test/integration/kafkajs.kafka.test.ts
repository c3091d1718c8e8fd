import { expect, test } from 'vitest';
import { createCluster } from '../../src/kafka/client/kafkajs.js';
import { connectTestKafka } from '../support/kafka.js';

test('a connection that is idle sets no timer to look for requests: kafkajs alone would look every millisecond', async () => {
  const cluster = createCluster(connectTestKafka());
  await cluster.connect();
  const [connection] = cluster.brokerPool.seedBroker?.connectionPool.pool ?? [];
  expect(connection).toMatchObject({ requestQueue: { pending: [], throttleCheckTimeoutId: null } });
  await cluster.disconnect();
});
