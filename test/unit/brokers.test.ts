import type { Kafka } from 'kafkajs';
import { expect, test } from 'vitest';
import { Brokers } from '../../src/kafka/client/brokers.js';
import { ClientClosed } from '../../src/kafka/client/errors.js';

test('connections that are closed while they are made are ended, and asked nothing', async () => {
  const calls: string[] = [];
  const call = (name: string) => () => Promise.resolve(void calls.push(name));
  let connected = (): void => undefined;
  const cluster = {
    connect: () => new Promise<void>((resolve) => (connected = resolve)),
    disconnect: call('disconnect'),
    findTopicPartitionMetadata: () => [],
    removeBroker: call('removeBroker'),
    findGroupCoordinator: call('findGroupCoordinator'),
    brokerPool: { refreshMetadata: call('refreshMetadata'), findBroker: call('findBroker'), brokers: {} },
  };
  const kafka = { [Symbol('private:Kafka:createCluster')]: () => cluster };
  const brokers = new Brokers(kafka as unknown as Kafka);
  const leaders = brokers.leaders('orders');
  brokers.close(new ClientClosed());
  connected();
  await expect(leaders).rejects.toThrow(ClientClosed);
  expect(calls).toEqual(['disconnect']);
});
