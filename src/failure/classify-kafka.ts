import { errorChain } from './error-chain.js';
import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';
import type { FailureKind } from './kinds.js';

/** Kafka's protocol errors, by the names kafkajs gives them in `type`; the numbers are Kafka's. */
const KIND_BY_TYPE: Readonly<Record<string, FailureKind>> = {
  MESSAGE_TOO_LARGE: 'MessageTooLarge', // 10
  RECORD_LIST_TOO_LARGE: 'MessageTooLarge', // 18
  INVALID_TOPIC_EXCEPTION: 'Misconfigured', // 17
  INVALID_GROUP_ID: 'Misconfigured', // 24
  TOPIC_AUTHORIZATION_FAILED: 'Unauthorized', // 29
  GROUP_AUTHORIZATION_FAILED: 'Unauthorized', // 30
  CLUSTER_AUTHORIZATION_FAILED: 'Unauthorized', // 31
  UNSUPPORTED_SASL_MECHANISM: 'Misconfigured', // 33
  UNSUPPORTED_VERSION: 'Misconfigured', // 35
  INVALID_PARTITIONS: 'Misconfigured', // 37
  INVALID_REPLICATION_FACTOR: 'Misconfigured', // 38
  INVALID_CONFIG: 'Misconfigured', // 40
  POLICY_VIOLATION: 'Misconfigured', // 44
  SECURITY_DISABLED: 'Misconfigured', // 54
  SASL_AUTHENTICATION_FAILED: 'LoginRefused', // 58
  TOPIC_DELETION_DISABLED: 'Misconfigured', // 73
  UNSUPPORTED_COMPRESSION_TYPE: 'Misconfigured', // 76

  // A new producer session, or a little time, helps.
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'BrokerUnavailable', // 45
  DUPLICATE_SEQUENCE_NUMBER: 'BrokerUnavailable', // 46
  INVALID_PRODUCER_EPOCH: 'BrokerUnavailable', // 47
  INVALID_PRODUCER_ID_MAPPING: 'BrokerUnavailable', // 49
  UNKNOWN_PRODUCER_ID: 'BrokerUnavailable', // 59
  ILLEGAL_SASL_STATE: 'BrokerUnavailable', // 34
  BROKER_NOT_AVAILABLE: 'BrokerUnavailable', // 8
  // Something failed inside the broker, for example its memory.
  UNKNOWN: 'BrokerUnavailable', // -1
  // A broker that has just started does not know its topics yet. Before a table parks for it, the topic must be looked up again.
  UNKNOWN_TOPIC_OR_PARTITION: 'BrokerUnavailable', // 3
};

/** Errors of kafkajs itself, by name. `KafkaJSNumberOfRetriesExceeded` says nothing; its cause does. */
const KIND_BY_NAME: Readonly<Record<string, FailureKind>> = {
  KafkaJSSASLAuthenticationError: 'LoginRefused',
  KafkaJSServerDoesNotSupportApiKey: 'Misconfigured',
  KafkaJSConnectionError: 'BrokerUnavailable',
  KafkaJSConnectionClosedError: 'BrokerUnavailable',
  KafkaJSRequestTimeoutError: 'BrokerUnavailable',
  KafkaJSBrokerNotFound: 'BrokerUnavailable',
  KafkaJSNoBrokerAvailableError: 'BrokerUnavailable',
  KafkaJSGroupCoordinatorNotFound: 'BrokerUnavailable',
  KafkaJSMetadataNotLoaded: 'BrokerUnavailable',
  KafkaJSTopicMetadataNotLoaded: 'BrokerUnavailable',
  KafkaJSTimeout: 'BrokerUnavailable',
  KafkaJSLockTimeout: 'BrokerUnavailable',
  // Of our own client, `src/kafka/client/errors.ts`.
  KafkaTimeout: 'BrokerUnavailable',
  ConnectionDiscarded: 'BrokerUnavailable',
  SendNotConfirmed: 'BrokerUnavailable',
  SessionRetired: 'BrokerUnavailable',
  UnknownPartition: 'BrokerUnavailable',
  FetchRefused: 'BrokerUnavailable',
};

const SENTENCES: Partial<Record<FailureKind, string>> = {
  BrokerUnavailable: 'Kafka did not answer as it should',
  MessageTooLarge: 'Kafka refused a message for its size',
  Misconfigured: 'Kafka refused the request as it is set up',
  LoginRefused: 'Kafka refused the user or its password',
  Unauthorized: 'Kafka refused the user',
};

/**
 * The kind of a kafkajs error, by the names, types and codes in its chain of causes; never by its text.
 * @param what what was being done, as the beginning of a sentence: "Publishing to topic orders"
 */
export function classifyKafka(error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const tls = explainTls(error);
  // Not parked: after a certificate is renewed, nobody should have to resume the tables.
  if (tls !== undefined)
    return new Failure('BrokerUnavailable', { message: `${what}: Kafka ${tls.sentence}.`, cause: error });
  const facts = errorChain(error).map(factsOf);
  const timeoutMs = facts.find(({ name }) => name === 'KafkaTimeout')?.ms;
  if (timeoutMs !== undefined) return kafkaSilent(what, timeoutMs, error);
  const kind = facts.map(kindOf).find((found) => found !== undefined) ?? retriableKind(facts);
  const reason = facts.map((fact) => fact.type ?? fact.code).find((text) => text !== undefined) ?? facts.at(-1)?.name;
  const sentence = SENTENCES[kind] ?? 'Kafka or its client failed in a way that is not known';
  return new Failure(kind, { message: `${what}: ${sentence} (${reason ?? 'no reason given'}).`, cause: error });
}

/** @param what the beginning of a sentence: "Publishing to topic orders" */
export function kafkaSilent(what: string, ms: number, cause?: unknown): Failure {
  return new Failure('BrokerUnavailable', { message: `${what}: Kafka did not answer within ${ms / 1_000} s.`, cause });
}

/** Kafka's own name for what went wrong, e.g. `MESSAGE_TOO_LARGE`, however deep kafkajs wrapped it. */
export function protocolTypeOf(error: unknown): string | undefined {
  return errorChain(error)
    .map((link) => factsOf(link).type)
    .find((type) => type !== undefined);
}

interface Facts {
  readonly name: string | undefined;
  /** Kafka's error. */
  readonly type: string | undefined;
  /** Node's error. */
  readonly code: string | undefined;
  readonly retriable: boolean | undefined;
  /** How long somebody waited. */
  readonly ms: number | undefined;
}

function factsOf(link: object): Facts {
  const { name, type, code, retriable, ms } = link as Record<string, unknown>;
  return {
    name: text(name),
    type: text(type),
    code: text(code),
    retriable: typeof retriable === 'boolean' ? retriable : undefined,
    ms: typeof ms === 'number' ? ms : undefined,
  };
}

function kindOf({ name, type }: Facts): FailureKind | undefined {
  if (type !== undefined && Object.hasOwn(KIND_BY_TYPE, type)) return KIND_BY_TYPE[type];
  if (name !== undefined && Object.hasOwn(KIND_BY_NAME, name)) return KIND_BY_NAME[name];
  return undefined;
}

/** For a protocol error that is in no table: Kafka itself says whether it is retriable. */
function retriableKind(facts: readonly Facts[]): FailureKind {
  return facts.some(({ type, retriable }) => type !== undefined && retriable === true)
    ? 'BrokerUnavailable'
    : 'Unexpected';
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
