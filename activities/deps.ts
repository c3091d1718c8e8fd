import type { ClickHouseClient } from '@clickhouse/client';
import type { Kafka } from 'kafkajs';
import type { Client, Pool } from 'pg';
import type { MessageFormat } from '../src/domain/replica.js';
import type { Log } from '../src/observe/log.js';
import type { OffsetMirror } from '../src/transport/offset-mirror.js';
import type { Publisher } from '../src/transport/publisher.js';
import type { TopicReader } from '../src/transport/reader.js';

/** What the settings say about tables that do not choose for themselves. */
export interface TableDefaults {
  /** `KAFKA_TOPIC`: the first table's topic. */
  readonly topic: string | undefined;
  /** `CH_TABLE`: the first table's target. */
  readonly targetTable: string | undefined;
  readonly targetDatabase: string;
  readonly format: MessageFormat;
  readonly partitions: number;
  readonly retentionMs: number;
}

/** The world as the activities see it: connections and defaults, made once per worker process, passed in. */
export interface Deps {
  readonly log: Log;
  readonly defaults: TableDefaults;
  /** For statements that stand alone: the ledger and the flush of the source's WAL. */
  readonly pool: Pool;
  /** A connection of one slice's own; `await using` ends it. */
  connectSource(name: string): Promise<Client & AsyncDisposable>;
  readonly kafka: Kafka;
  /** The worker's one producer, made when first asked for. */
  publisher(): Promise<Publisher>;
  /** The reader of a topic, kept between slices: joining a group anew costs up to seconds. */
  reader(topic: string): Promise<TopicReader>;
  /** The public consumer group's offsets of a topic, for lag tools; best effort. */
  mirror(topic: string): OffsetMirror;
  readonly clickhouse: ClickHouseClient;
  /** Aborted when the worker begins to shut down: slices end after the batch in hand. */
  readonly stopping: AbortSignal;
  /** Who claims: host, pid and role. */
  readonly owner: string;
}
