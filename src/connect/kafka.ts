import { Kafka, logLevel, type LogEntry } from 'kafkajs';
import { Failure } from '../failure/failure.js';
import { classifyKafka } from '../failure/classify-kafka.js';
import type { Log } from '../observe/log.js';
import type { Settings } from '../settings/settings.js';
import { explainNetworkError, nameSettings } from './unreachable.js';

export interface ConnectKafkaOptions {
  /** How often a request is tried again before it fails. Default 5; what waits for a person wants few. */
  readonly retries?: number;
}

/** Opens nothing yet: producers, consumers and admins connect by themselves. Without a log it is silent. */
export function connectKafka(settings: Settings, log: Log | undefined, options: ConnectKafkaOptions = {}): Kafka {
  return new Kafka({
    clientId: 'pg2click',
    brokers: [...settings.kafka.brokers],
    // kafkajs's own second is too short for a broker that starts, or another continent.
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
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

/** What kafkajs calls an error is mostly a retry of its own, its warnings are advice or a new topic's first seconds: what it means for a table is told by the table's slice. */
function write(
  log: Log,
  { level, namespace, log: { message, error, broker, groupId, retryCount, topic } }: LogEntry,
): void {
  const fields = {
    client: `kafkajs ${namespace}`.trim(),
    ...(typeof error === 'string' ? { reason: error } : {}),
    ...(broker === undefined ? {} : { broker: String(broker) }),
    ...(topic === undefined ? {} : { topic: String(topic) }),
    ...(groupId === undefined ? {} : { group: String(groupId) }),
    ...(retryCount === undefined ? {} : { retry: Number(retryCount) }),
  };
  log[level === logLevel.ERROR ? 'warn' : 'debug'](fields, message.charAt(0).toLowerCase() + message.slice(1));
}

/**
 * Asks the cluster who it is.
 * @returns how many brokers it has
 * @throws Failure `BrokerUnavailable` and others: a sentence with the addresses and the setting
 */
export async function probeKafka(settings: Settings): Promise<number> {
  const admin = connectKafka(settings, undefined, { retries: 1 }).admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.length;
  } catch (error) {
    throw explainKafkaConnect(error, settings);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

export function explainKafkaConnect(error: unknown, settings: Settings): Failure {
  const server = `Kafka at ${settings.kafka.brokers.join(', ')}`;
  const failure = classifyKafka(error, server);
  if (failure.kind !== 'BrokerUnavailable' && failure.kind !== 'Unexpected') return failure;
  return new Failure('BrokerUnavailable', {
    message: `${server} ${explainNetworkError(error) ?? 'does not answer as a Kafka broker should'}.`,
    remedy: `Check that Kafka runs there and advertises an address that this machine can reach, and ${nameSettings(settings, ['KAFKA_BOOTSTRAP'])}.`,
    cause: error,
  });
}
