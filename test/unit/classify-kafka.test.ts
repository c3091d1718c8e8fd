import { KafkaJSConnectionError, KafkaJSNumberOfRetriesExceeded, KafkaJSProtocolError } from 'kafkajs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { classifyKafka, protocolTypeOf } from '../../src/failure/classify-kafka.js';
import { KAFKA_CODES } from '../../src/failure/kafka-codes.js';
import { Failure } from '../../src/failure/failure.js';

const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error.js') as {
  createErrorFromCode: (code: number) => Error;
};

describe('classifyKafka', () => {
  test.each([
    [3, 'BrokerUnavailable'],
    [6, 'BrokerUnavailable'], // NOT_LEADER_FOR_PARTITION: retriable by Kafka's own word
    [10, 'MessageTooLarge'],
    [17, 'Misconfigured'],
    [18, 'MessageTooLarge'],
    [19, 'BrokerUnavailable'], // NOT_ENOUGH_REPLICAS
    [29, 'Unauthorized'],
    [38, 'Misconfigured'],
    [45, 'BrokerUnavailable'],
    [58, 'LoginRefused'],
    [59, 'BrokerUnavailable'],
    [22, 'BrokerUnavailable'],
    [32, 'Misconfigured'], // INVALID_TIMESTAMP
    [39, 'Misconfigured'],
    [44, 'Misconfigured'],
    [57, 'BrokerUnavailable'], // LOG_DIR_NOT_FOUND
    [66, 'LoginRefused'],
    [87, 'Misconfigured'],
    [42, 'Unexpected'], // INVALID_REQUEST
    [9_999, 'Unexpected'],
  ])('makes of code %i a %s', (code, kind) => {
    expect(classifyKafka(createErrorFromCode(code), 'Publishing').kind).toBe(kind);
  });

  test('says what to do about a clock that is wrong, and about a policy that refuses a topic', () => {
    expect(classifyKafka(createErrorFromCode(32), 'Publishing').remedy).toMatch(/clock of the worker.*LogAppendTime/u);
    expect(classifyKafka(createErrorFromCode(44), 'Creating').remedy).toContain('Make the topic by hand');
  });

  test('calls every error of Kafka that kafkajs names as kafkajs does', () => {
    for (const [name, [code]] of Object.entries(KAFKA_CODES))
      expect(createErrorFromCode(code)).toMatchObject({ type: name, code });
  });

  test('finds the cause under what kafkajs wraps around it', () => {
    const cause = createErrorFromCode(29);
    const wrapped = new KafkaJSNumberOfRetriesExceeded(new Error('wrapped', { cause }), {
      retryCount: 5,
      retryTime: 1_000,
    });
    expect(classifyKafka(wrapped, 'Publishing').kind).toBe('Unauthorized');
    expect(protocolTypeOf(wrapped)).toBe('TOPIC_AUTHORIZATION_FAILED');
  });

  test('tells an unreachable broker from a certificate that is refused', () => {
    const refused = new KafkaJSConnectionError('Connection error: connect', { code: 'ECONNREFUSED' });
    const certificate = new KafkaJSConnectionError('Connection error: x', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(classifyKafka(refused, 'Publishing').kind).toBe('BrokerUnavailable');
    expect(classifyKafka(certificate, 'Publishing')).toMatchObject({
      kind: 'BrokerUnavailable',
      message: 'Publishing: Kafka shows a certificate whose authority is not trusted here.',
    });
  });

  test('goes by name, type and code, never by text', () => {
    expect(classifyKafka(new Error('MESSAGE_TOO_LARGE: the request timed out'), 'Publishing').kind).toBe('Unexpected');
    const renamed = new KafkaJSProtocolError({ message: 'harmless', type: 'MESSAGE_TOO_LARGE', code: 10 } as never);
    expect(classifyKafka(renamed, 'Publishing').kind).toBe('MessageTooLarge');
  });

  test('leaves a Failure as it is, and keeps the text of others out of the message', () => {
    const failure = new Failure('OffsetGap', { message: 'Ours.' });
    expect(classifyKafka(failure, 'Reading')).toBe(failure);
    expect(classifyKafka(new Error('secret'), 'Reading').message).not.toContain('secret');
  });

  test('survives causes that go in circles, and things that are no errors', () => {
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    expect(classifyKafka(loop, 'Reading').kind).toBe('Unexpected');
    expect(classifyKafka(undefined, 'Reading').kind).toBe('Unexpected');
  });
});
