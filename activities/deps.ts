import { hostname } from 'node:os';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Kafka } from 'kafkajs';
import type { Pool } from 'pg';
import { connectClickHouse } from '../src/connect/clickhouse.js';
import { connectKafka } from '../src/connect/kafka.js';
import {
  connectInPlace,
  connectPostgres,
  createPostgresPool,
  ledgerSettings,
  IdleConnectionGroup,
  STATEMENT_MS,
  walSettings,
  type PostgresClient,
} from '../src/connect/postgres.js';
import type { Queryable } from '../src/connect/queryable.js';
import { ReadingPool } from '../src/connect/reading-pool.js';
import { SchemaRegistry } from '../src/connect/schema-registry.js';
import { Semaphore, type AcquireOptions } from '../src/connect/semaphore.js';
import { RateLimit } from '../src/pipeline/rate-limit.js';
import { CopyConnections } from '../src/source/copy/copy-connections.js';
import { SmallBatchThrottle } from '../src/pipeline/small-batch-throttle.js';
import type { Deployment } from '../src/domain/deployment.js';
import type { LoaderSpec } from '../src/domain/route.js';
import type { Log } from '../src/observe/log.js';
import { NO_METERS, type Meters } from '../src/observe/meters.js';
import type { Settings } from '../src/settings/settings.js';
import { SMALL_INSERTS_A_SECOND } from '../src/clickhouse/insert-throttle.js';
import { PartTracker } from '../src/clickhouse/part-tracker.js';
import type { Loader } from '../src/clickhouse/loader.js';
import { OtherSinks, type Sink } from '../src/clickhouse/sinks.js';
import { LOADERS } from '../src/clickhouse/loaders.js';
import type { Capture } from '../src/source/capture.js';
import { CAPTURES } from '../src/source/captures.js';
import { readShapes } from '../src/ledger/shapes.js';
import type { Registry } from '../src/pipeline/registry.js';
import { SharedPoll } from '../src/pipeline/shared-poll.js';
import { readColumnsTexts } from '../src/source/catalog/columns-text.js';
import { readDeployment } from '../src/source/deployment.js';
import { stepsInOneDatabase, type OpenOutboxSteps } from '../src/source/outbox/steps.js';
import { stepsInTwoDatabases } from '../src/source/outbox/two-databases.js';
import { OutboxWatch } from '../src/source/outbox/watch.js';
import { Listener } from '../src/source/poll/listener.js';
import { WalReaders } from '../src/source/wal/reader.js';
import { Fetcher } from '../src/kafka/client/fetcher.js';
import type { KafkaProducer } from '../src/kafka/client/producer.js';
import { openMessageTopic } from './message-topic.js';
import type { TopicServices } from '../src/topic/topic-source.js';
import { ConsumerGroups } from '../src/topic/consumer-groups.js';
import { openOffsetMirror, type OffsetMirror } from '../src/topic/offset-mirror.js';
import { openKafkaProducer, openProducer, type Publisher } from '../src/topic/writer.js';
import { openReader } from '../src/topic/reader.js';

/** Statements of the pool take milliseconds: a few connections serve many tables. */
const POOL_CONNECTIONS = 8;
/** At a standby that the WAL is read from. */
const SLOT_CONNECTIONS = 2;
/** Tables that are prepared or removed at once: seconds each, and DDL in one another's way gains nothing. */
const DDL_CONCURRENCY = 4;
/** Each holds a connection while ClickHouse takes its rows. */
const KEY_READERS = 4;
/** How soon a change of the columns of a table that idles is seen. */
const LOOK_MS = 2_000;
/** Of publishing: each takes this process some 4 ms, PostgreSQL as much, and Kafka half of it. */
const SMALL_BATCHES_A_SECOND = 200;

/** The world as the activities see it: made once per worker process, passed in. */
export interface Deps {
  readonly settings: Settings;
  readonly log: Log;
  readonly meters: Meters;
  /** For statements that stand alone, in the database of the ledger. */
  readonly ledger: Pool;
  /** For those in the database of the tables: the same pool where the ledger lies there too. */
  readonly source: Pool;
  /**
   * The ledger as a transaction of the source sees it: that transaction itself where both are one database, so that what it checks
   * holds to the end of it; else the ledger, where a check holds for its own moment only.
   */
  ledgerWithin(transaction: Queryable): Queryable;
  /** How outboxes are drained: by where the ledger lies. */
  readonly openSteps: OpenOutboxSteps;
  /** For reading batches: few connections, lent to one batch at a time. */
  readonly reading: ReadingPool;
  /** For reading rows by their keys; apart, since such a connection is held while ClickHouse takes the rows. */
  readonly readingByKey: ReadingPool;
  /** Wakes the slices that wait for changes; one connection for all of them. */
  readonly watch: OutboxWatch;
  /** For stages that idle: a text of the columns of a table, by its oid, and the shape of a table, by its id. */
  readonly polls: { readonly columns: SharedPoll; readonly shapes: SharedPoll };
  /** Hears the notifications of triggers; one connection for all tables that have them. */
  readonly listener: Listener;
  /** Reads the WAL into outboxes while a table of this worker needs it. */
  readonly wal: WalReaders;
  /** A connection of one errand's own, when its turn has come; `await using` ends it. */
  connectSource(name: string, options: AcquireOptions): Promise<PostgresClient>;
  /** Likewise, to the server that has the replication slots; undefined where that is the server of the tables. */
  readonly connectSlots: (() => Promise<PostgresClient>) | undefined;
  /** Those that copies read with. */
  readonly copies: CopyConnections;
  /** Who we are; PostgreSQL is asked once, when somebody first wants to know. @throws Failure those of PostgreSQL */
  deployment(): Promise<Deployment>;
  /** The ways to see the changes of a table. */
  readonly captures: Registry<Capture>;
  /** The ways to load a topic. */
  readonly loaders: Registry<Loader>;
  readonly kafka: Kafka;
  /** The worker's one producer, made when first asked for. */
  publisher(): Promise<Publisher>;
  /** Reads a topic for a subscriber, e.g. a stage. All share one fetcher. */
  reader: TopicServices['reader'];
  /** The public consumer group's offsets, for lag tools; best effort. */
  readonly mirror: OffsetMirror;
  /** Groups of others that read our topics. */
  readonly groups: ConsumerGroups;
  /** Of schemas, for messages in Avro; undefined where none is set. */
  readonly registry: SchemaRegistry | undefined;
  readonly clickhouse: ClickHouseClient;
  readonly parts: PartTracker;
  /** ClickHouse as a loader uses it: `clickhouse` and `parts`, or those of the server that the loader names. @throws Failure `WrongWorker` */
  sink(loader: Pick<LoaderSpec, 'connection'>): Sink;
  /** Which tables move little by little right now: together they keep below what the servers carry. */
  readonly throttles: { readonly publish: SmallBatchThrottle; readonly load: SmallBatchThrottle };
  /** Who claims: host and pid. */
  readonly owner: string;
  close(): Promise<void>;
}

export function openDeps(
  settings: Settings,
  log: Log,
  meters: Meters = NO_METERS,
  captures: Registry<Capture> = CAPTURES,
): Deps {
  const kafka = connectKafka(settings, log);
  const idleGroup = new IdleConnectionGroup();
  const small = { max: POOL_CONNECTIONS, statementMs: STATEMENT_MS, log };
  const isSplit = settings.ledger !== undefined;
  const source = createPostgresPool(settings, { ...small, name: isSplit ? 'source' : 'ledger', idleGroup });
  const ledger = isSplit ? createPostgresPool(ledgerSettings(settings), { ...small, name: 'ledger' }) : source;
  const reading = new ReadingPool(
    createPostgresPool(settings, { max: settings.worker.connections, name: 'publish', idleGroup, log }),
  );
  const readingByKey = new ReadingPool(
    createPostgresPool(settings, { max: KEY_READERS, name: 'load by key', idleGroup, log }),
  );
  // It looks all the time, so it is the first to find out.
  const watch = new OutboxWatch(() => connectPostgres(settings, { name: 'watch' }), {
    onLost: () => idleGroup.endIdle(),
  });
  const listener = new Listener(() => connectPostgres(settings, { name: 'listen' }));
  const slots =
    settings.wal === undefined
      ? source
      : createPostgresPool(walSettings(settings), {
          max: SLOT_CONNECTIONS,
          statementMs: STATEMENT_MS,
          name: 'slot',
          log,
        });
  const wal = new WalReaders({
    source,
    slots,
    connect: (name, options) =>
      connectPostgres(options?.replication === true ? walSettings(settings) : settings, { name, ...options }),
    onFailure: ({ kind, message }) => log.warn({ kind }, message),
    budgetBytes: settings.worker.walBudgetBytes,
    onWarning: (sentence) => log.warn({}, sentence),
    messages: {
      topic: settings.kafka.messages,
      open: (topic) =>
        openMessageTopic({ ledger, kafka, settings }, (producer ??= openKafkaProducer(kafka, log)), topic),
    },
  });
  const errands = new Semaphore(DDL_CONCURRENCY);
  const copies = new CopyConnections(
    new Semaphore(settings.worker.copies),
    new RateLimit(settings.worker.copyBytesPerSecond),
    (name) => connectPostgres(settings, { name }),
  );
  const clickhouse = connectClickHouse(settings);
  const others = new OtherSinks(settings);
  let publisher: Promise<Publisher> | undefined;
  let producer: KafkaProducer | undefined;
  let deployment: Promise<Deployment> | undefined;
  const fetcher = new Fetcher(kafka);
  const groups = new ConsumerGroups(kafka);
  const mirror = openOffsetMirror(kafka, { group: settings.kafka.group, log });
  return {
    settings,
    log,
    meters,
    ledger,
    source,
    ledgerWithin: (transaction) => (isSplit ? ledger : transaction),
    openSteps: isSplit ? stepsInTwoDatabases : stepsInOneDatabase,
    reading,
    readingByKey,
    watch,
    polls: {
      columns: new SharedPoll((tables) => readColumnsTexts(source, tables), LOOK_MS),
      shapes: new SharedPoll((ids) => readShapes(ledger, ids), LOOK_MS),
    },
    listener,
    wal,
    copies,
    async connectSource(name, options) {
      return connectInPlace(await errands.acquire(options), () => connectPostgres(settings, { name }));
    },
    connectSlots:
      settings.wal === undefined ? undefined : () => connectPostgres(walSettings(settings), { name: 'make slot' }),
    deployment() {
      deployment ??= readDeployment(source, settings.pipeline);
      // A failed answer is not remembered.
      deployment.catch(() => (deployment = undefined));
      return deployment;
    },
    captures,
    loaders: LOADERS,
    kafka,
    publisher: () => (publisher ??= openProducer(kafka, log)),
    reader: (topic, options) => openReader(fetcher, topic, { log, ...options }),
    mirror,
    groups,
    registry: settings.registry && new SchemaRegistry(settings.registry),
    clickhouse,
    parts: new PartTracker(clickhouse),
    // By `this`, so that who puts another client in the place of `clickhouse` gets it from here too.
    sink({ connection }) {
      if (connection !== undefined) return others.named(connection);
      return { clickhouse: this.clickhouse, parts: this.parts, database: settings.clickhouse.database };
    },
    throttles: {
      publish: new SmallBatchThrottle(SMALL_BATCHES_A_SECOND),
      load: new SmallBatchThrottle(SMALL_INSERTS_A_SECOND),
    },
    owner: `${hostname()}/${process.pid}`,
    async close() {
      fetcher.close();
      groups.close();
      // What reads the WAL may have messages on their way.
      const closing = [mirror.close(), wal.close().finally(() => producer?.close())];
      if (publisher !== undefined) closing.push(publisher.then((opened) => opened.close()));
      await Promise.allSettled(closing);
      const pools = [...new Set([ledger, source, slots])].map((pool) => pool.end());
      await Promise.allSettled([
        watch.close(),
        listener.close(),
        reading.end(),
        readingByKey.end(),
        ...pools,
        clickhouse.close(),
        others.close(),
      ]);
    },
  };
}
