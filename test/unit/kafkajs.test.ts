import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { adopt, createCluster, protocolErrorName, requireVersion } from '../../src/kafka/client/kafkajs.js';
import { connectTestKafka } from '../support/kafka.js';

const require = createRequire(import.meta.url);

interface Part {
  [name: string]: unknown;
}

/** A connection of kafkajs's own, made and not opened. */
function connectionOf(): Part & { requestQueue: Part } {
  const Connection = require('kafkajs/src/network/connection.js') as new (
    options: object,
  ) => Part & { requestQueue: Part };
  const logger = { namespace: () => ({ debug: () => undefined }) };
  return new Connection({ host: 'h', port: 1, logger, socketFactory: () => undefined });
}

describe('kafkajs', () => {
  test('of the version that is installed is the one that is expected', () => {
    const { version } = require('kafkajs/package.json') as { version: string };
    expect(() => requireVersion(version)).not.toThrow();
  });

  test('of another version is refused with a sentence that names both', () => {
    expect(() => requireVersion('2.3.0')).toThrow(
      'This program uses private parts of kafkajs 2.2.4, and kafkajs 2.3.0 is installed: install kafkajs 2.2.4.',
    );
  });

  test('without a cluster where it is expected is refused', () => {
    expect(() => createCluster({})).toThrow(
      /^kafkajs lacks the function that makes a cluster, .* install kafkajs 2\.2\.4/u,
    );
  });

  test.each(['connect', 'findTopicPartitionMetadata', 'removeBroker', 'brokerPool'])(
    'whose cluster lacks %s is refused',
    (name) => {
      const kafka = connectTestKafka({ brokers: ['127.0.0.1:1'] });
      const [key] = Object.getOwnPropertySymbols(kafka).filter(({ description }) =>
        description?.includes('createCluster'),
      );
      const create = (kafka as unknown as Record<symbol, (options: object) => object>)[key as symbol];
      const lacking = {
        [key as symbol]: (options: object) => Object.assign(create?.(options) ?? {}, { [name]: undefined }),
      };
      expect(() => createCluster(lacking)).toThrow(/^kafkajs lacks the function /u);
    },
  );

  test.each(['authenticate', 'nextCorrelationId', 'rejectRequests'])('whose connection lacks %s is refused', (name) => {
    const connection = Object.assign(connectionOf(), { [name]: undefined });
    expect(() => adopt(connection as never)).toThrow(`kafkajs lacks the function ${name} of its connection`);
  });

  test.each(['push', 'maybeThrottle', 'scheduleCheckPendingRequests', 'pending'])(
    'whose queue of requests lacks %s is refused',
    (name) => {
      const connection = connectionOf();
      connection.requestQueue[name] = undefined;
      expect(() => adopt(connection as never)).toThrow(/^kafkajs lacks the /u);
    },
  );

  test('is changed in the connections of this client only', () => {
    const [ours, theirs] = [connectionOf(), connectionOf()];
    adopt(ours as never);
    expect(Object.hasOwn(ours.requestQueue, 'scheduleCheckPendingRequests')).toBe(true);
    expect(Object.hasOwn(theirs.requestQueue, 'scheduleCheckPendingRequests')).toBe(false);
  });

  test('names the error codes of Kafka', () => {
    expect([3, 6, 56].map(protocolErrorName)).toEqual([
      'UNKNOWN_TOPIC_OR_PARTITION',
      'NOT_LEADER_FOR_PARTITION',
      'KAFKA_STORAGE_ERROR',
    ]);
  });
});
