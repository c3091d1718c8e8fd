import { Kafka, logLevel, type LogEntry, type SASLOptions } from 'kafkajs';
import { Failure } from '../failure/failure.js';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { errorChain } from '../failure/error-chain.js';
import type { FailureKind } from '../failure/kinds.js';
import type { Log } from '../observe/log.js';
import type { Sasl } from '../settings/security.js';
import type { Settings } from '../settings/settings.js';
import { splitHostPort } from './host-port.js';
import { explainTlsMissing, explainTlsTo, explainTlsWanted, nodeTlsOptions, speaksTls } from './tls.js';
import { explainNetworkError, nameSettings } from './unreachable.js';

export interface ConnectKafkaOptions {
  /** How often a request is tried again before it fails. Default 5; what waits for a person wants few. */
  readonly retries?: number;
  /** How long one request may take, milliseconds. Default 30 s. */
  readonly requestTimeoutMs?: number;
}

/** A person waits for a probe, and the health of a worker is as old as its last one. */
const PROBE_TIMEOUT_MS = 8_000;

/** Opens nothing yet: producers, consumers and admins connect by themselves. Without a log it is silent. */
export function connectKafka(settings: Settings, log: Log | undefined, options: ConnectKafkaOptions = {}): Kafka {
  const { brokers, tls, sasl } = settings.kafka;
  return new Kafka({
    clientId: 'pg2click',
    brokers: [...brokers],
    ...(tls === undefined ? {} : { ssl: nodeTlsOptions(tls) }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl, password: sasl.password.reveal() } as SASLOptions }),
    // kafkajs's own second is too short for a broker that starts, or another continent.
    connectionTimeout: 5_000,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    retry: { initialRetryTime: 200, maxRetryTime: 5_000, retries: options.retries ?? 5 },
    logLevel: log === undefined ? logLevel.NOTHING : (LEVELS[log.level] ?? logLevel.WARN),
    logCreator: () => (entry) => {
      if (log !== undefined) write(log, entry);
    },
  });
}

const LEVELS: Readonly<Record<string, logLevel>> = {
  trace: logLevel.DEBUG,
  debug: logLevel.DEBUG,
  info: logLevel.WARN,
  warn: logLevel.WARN,
  error: logLevel.ERROR,
  silent: logLevel.NOTHING,
};

/**
 * For debugging, whatever kafkajs calls it: its errors are a new topic's first seconds, or one of its own retries, without the name of a
 * table. What they mean for a table is told by the table's slice, and that Kafka is away by the health of the worker.
 */
function write(log: Log, { namespace, log: { message, error, broker, groupId, retryCount, topic } }: LogEntry): void {
  const fields = {
    client: `kafkajs ${namespace}`.trim(),
    ...(typeof error === 'string' ? { reason: error } : {}),
    ...(broker === undefined ? {} : { broker: String(broker) }),
    ...(topic === undefined ? {} : { topic: String(topic) }),
    ...(groupId === undefined ? {} : { group: String(groupId) }),
    ...(retryCount === undefined ? {} : { retry: Number(retryCount) }),
  };
  log.debug(fields, message.charAt(0).toLowerCase() + message.slice(1));
}

/**
 * Asks the cluster who it is.
 * @returns how many brokers it has
 * @throws Failure `BrokerUnavailable` and others: a sentence with the addresses and the setting
 */
export async function probeKafka(settings: Settings): Promise<number> {
  const admin = connectKafka(settings, undefined, { retries: 1, requestTimeoutMs: PROBE_TIMEOUT_MS }).admin();
  const startedAt = Date.now();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.length;
  } catch (error) {
    // A broker that is frozen accepts the connection and says nothing; kafkajs then calls it "not connected".
    const isSilent = Date.now() - startedAt >= PROBE_TIMEOUT_MS;
    const silence = isSilent ? `did not answer within ${PROBE_TIMEOUT_MS / 1_000} s` : undefined;
    throw (await explainHangUp(error, settings)) ?? explainKafkaConnect(error, settings, silence);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** A broker closes the connection without an error if it wants TLS or a user and we send none. */
async function explainHangUp(error: unknown, settings: Settings): Promise<Failure | undefined> {
  const { brokers, tls, sasl } = settings.kafka;
  if (!isHangUp(error)) return undefined;
  const fail = (message: string, remedy: string): Failure =>
    new Failure('BrokerUnavailable', { message: `${serverOf(settings)} ${message}.`, remedy, cause: error });
  const answers = await Promise.all(brokers.map((broker) => speaksTls(splitHostPort(broker))));
  if (answers.includes(true) !== (tls !== undefined)) {
    const { sentence, remedy } = tls === undefined ? explainTlsWanted('kafka') : explainTlsMissing('kafka');
    return fail(sentence, remedy);
  }
  if (sasl !== undefined) return undefined;
  return fail(
    'hangs up before it answers: it is away behind a proxy, or it wants a user',
    'Set KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or check the port in KAFKA_BOOTSTRAP.',
  );
}

function isHangUp(error: unknown): boolean {
  return errorChain(error).some((link) => {
    const { name, code } = link as { name?: unknown; code?: unknown };
    return code === 'ECONNRESET' || code === 'EPIPE' || name === 'KafkaJSConnectionClosedError';
  });
}

function serverOf(settings: Settings): string {
  return `Kafka at ${settings.kafka.brokers.join(', ')}`;
}

/** Kafka's names for a user that is not let in, and what they mean here. */
const REFUSALS: Readonly<Record<string, (sasl: Sasl) => { kind: FailureKind; message: string; remedy: string }>> = {
  UNSUPPORTED_SASL_MECHANISM: ({ mechanism }) => ({
    kind: 'Misconfigured',
    message: `does not let users prove themselves by ${mechanism}`,
    remedy: 'Set KAFKA_SASL_MECHANISM to one that it offers: scram-sha-512, scram-sha-256 or plain.',
  }),
  ILLEGAL_SASL_STATE: () => ({
    kind: 'Misconfigured',
    message: 'asks for no user on this port',
    remedy: 'Remove the KAFKA_SASL_ settings, or check the port in KAFKA_BOOTSTRAP.',
  }),
  SASL_AUTHENTICATION_FAILED: ({ username }) => ({
    kind: 'LoginRefused',
    message: `does not let the user "${username}" in with this password`,
    remedy: 'Check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM.',
  }),
};

function refusalOf(error: unknown): string | undefined {
  const refused = errorChain(error).some((link) => 'name' in link && link.name === 'KafkaJSSASLAuthenticationError');
  return protocolTypeOf(error) ?? (refused ? 'SASL_AUTHENTICATION_FAILED' : undefined);
}

/** @param silence what to say where nothing else explains it */
function explainKafkaConnect(error: unknown, settings: Settings, silence?: string): Failure {
  const server = serverOf(settings);
  const tls = explainTlsTo('kafka', error, settings);
  if (tls !== undefined)
    return new Failure('BrokerUnavailable', {
      message: `${server} ${tls.sentence}.`,
      remedy: tls.remedy,
      cause: error,
    });
  const { sasl } = settings.kafka;
  const refused = sasl === undefined ? undefined : REFUSALS[refusalOf(error) ?? '']?.(sasl);
  if (refused !== undefined)
    return new Failure(refused.kind, {
      message: `${server} ${refused.message}.`,
      remedy: refused.remedy,
      cause: error,
    });
  const failure = classifyKafka(error, server);
  if (failure.kind !== 'BrokerUnavailable' && failure.kind !== 'Unexpected') return failure;
  return new Failure('BrokerUnavailable', {
    message: `${server} ${explainNetworkError(error) ?? silence ?? 'does not answer as a Kafka broker should'}.`,
    remedy: `Check that Kafka runs there and advertises an address that this machine can reach, and ${nameSettings(settings, ['KAFKA_BOOTSTRAP'])}.`,
    cause: error,
  });
}
