import { errorChain } from './error-chain.js';
import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';
import { KAFKA_CLIENT_ERRORS, KAFKA_CODES } from './kafka-codes.js';
import type { FailureKind } from './kinds.js';
import { NODE_CODES } from './node-codes.js';

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
  const remedy = facts.map(({ type }) => remedyOf(type)).find((found) => found !== undefined);
  return new Failure(kind, {
    message: `${what}: ${sentence} (${reason ?? 'no reason given'}).`,
    remedy,
    cause: error,
    server: 'kafka',
  });
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

function kindOf({ name, type, code }: Facts): FailureKind | undefined {
  if (type !== undefined && Object.hasOwn(KAFKA_CODES, type)) return KAFKA_CODES[type]?.[1];
  if (name !== undefined && Object.hasOwn(KAFKA_CLIENT_ERRORS, name)) return KAFKA_CLIENT_ERRORS[name];
  return code !== undefined && Object.hasOwn(NODE_CODES, code) ? 'BrokerUnavailable' : undefined;
}

function remedyOf(type: string | undefined): string | undefined {
  return type !== undefined && Object.hasOwn(KAFKA_CODES, type) ? KAFKA_CODES[type]?.[2] : undefined;
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
