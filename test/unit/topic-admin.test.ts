import { Kafka, logLevel } from 'kafkajs';
import { expect, it } from 'vitest';
import { topicState, withAdmin } from '../../src/topic/admin.js';

it('adding a table says that Kafka cannot be reached', async () => {
  const kafka = new Kafka({ brokers: ['127.0.0.1:1'], retry: { retries: 0 }, logLevel: logLevel.NOTHING });
  const asked = withAdmin(kafka, (admin) => topicState(admin, 'orders'));
  await expect(asked).rejects.toMatchObject({ kind: 'BrokerUnavailable' });
});
