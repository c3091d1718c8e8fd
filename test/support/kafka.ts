import { Kafka, logLevel, type Admin, type KafkaConfig } from 'kafkajs';
import net from 'node:net';
import tls from 'node:tls';
import { pino } from 'pino';
import { afterAll } from 'vitest';
import { Changes, type Change } from '../../src/domain/change.js';
import { kafkaOptions } from './clients.js';
import { spanOf } from './spans.js';
import { addressOf, freshName } from './stack.js';

export const silentLog = pino({ level: 'silent' });

/** A client as the worker has it. */
export function connectTestKafka(config: Partial<KafkaConfig> = {}): Kafka {
  return new Kafka({
    clientId: 'pg2click-test',
    // Other brokers have other ways to be reached.
    ...(config.brokers === undefined ? kafkaOptions(addressOf('kafka')) : { brokers: config.brokers }),
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    // kafkajs retries 15 times where NODE_ENV is "test".
    retry: { initialRetryTime: 200, maxRetryTime: 5_000, retries: 5 },
    logLevel: logLevel.NOTHING,
    ...config,
  });
}

/** A client whose cable can be pulled: a broker that is down, or one that says nothing, without touching the shared broker. */
export function connectCuttableKafka(config: Partial<KafkaConfig> = {}): {
  kafka: Kafka;
  cut(): void;
  mute(): void;
  mend(): void;
  open(): number;
} {
  const sockets = new Set<net.Socket>();
  let state: 'whole' | 'cut' | 'mute' = 'whole';
  const kafka = connectTestKafka({
    ...config,
    socketFactory: ({ host, port, ssl, onConnect }) => {
      // Port 1 refuses; an address of TEST-NET-1 never answers.
      const target = { whole: { host, port }, cut: { host, port: 1 }, mute: { host: '192.0.2.1', port } }[state];
      const secure = config.brokers === undefined && addressOf('kafka').ssl !== undefined;
      const socket = secure ? tls.connect({ ...target, ...ssl }, onConnect) : net.connect(target, onConnect);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
  });
  return {
    kafka,
    cut: () => {
      state = 'cut';
      for (const socket of sockets) socket.destroy();
    },
    mute: () => {
      state = 'mute';
      for (const socket of sockets) socket.write = () => true;
    },
    mend: () => {
      state = 'whole';
    },
    open: () => sockets.size,
  };
}

/** Asks over a connection of its own. */
export async function withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = connectTestKafka().admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Deletes the records of partition 0 before the offset, as retention does. */
export async function expireBefore(topic: string, offset: number): Promise<void> {
  await withAdmin(async (admin) => {
    // kafkajs deletes only in topics whose metadata it happens to have.
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] });
  });
}

/** A topic's name, deleted after the file's tests where it was made. */
export function freshTopicName(prefix = 'topic'): string {
  const topic = freshName(prefix);
  afterAll(() => withAdmin((admin) => admin.deleteTopics({ topics: [topic] })).catch(() => undefined));
  return topic;
}

/** A change of an imaginary table with an integer key; `seq` is the number. */
export function changeOf(number: number, width = 40): Change {
  return {
    kind: 'row',
    key: spanOf(`[${number}]`),
    value: spanOf(`{"id":${number},"text":"${'x'.repeat(width)}","_version":"${number}","_deleted":0}`),
    seq: spanOf(String(number)),
  };
}

export function markOf(number: number, version: bigint): Change {
  return {
    kind: 'truncate',
    key: spanOf(''),
    value: spanOf(`{"_version":"${version}"}`),
    seq: spanOf(String(number)),
  };
}

/** The changes in one text, as the drain gives them. */
export function changesOf(...list: readonly Change[]): Changes {
  const parts: Uint8Array[] = [];
  const fields: number[] = [];
  let end = 0;
  for (const { bytes, start, end: until } of list.flatMap(({ seq, key, value }) => [seq, key, value])) {
    parts.push(bytes.subarray(start, until));
    fields.push(end, (end += until - start));
  }
  const changes = new Changes(Buffer.concat(parts));
  for (let at = 0; at < fields.length; at += 6)
    changes.push(...(fields.slice(at, at + 6) as [number, number, number, number, number, number]));
  return changes;
}

/** Changes from `first` to `last`, 1,000 at a time. */
export async function* changesBetween(first: number, last: number, width?: number): AsyncGenerator<Changes> {
  for (let start = first; start <= last; start += 1_000) {
    const length = Math.min(1_000, last - start + 1);
    yield changesOf(...Array.from({ length }, (_, index) => changeOf(start + index, width)));
    await Promise.resolve();
  }
}

/** The ids in fetched values, packed or not. */
export function idsOf(values: readonly Buffer[]): number[] {
  return values.flatMap((value) =>
    value
      .toString()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: number }).id),
  );
}
