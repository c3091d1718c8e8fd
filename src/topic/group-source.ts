import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../connect/queryable.js';
import type { OffsetBatch, OffsetRange } from '../domain/batch.js';
import { formatTableName } from '../domain/table-name.js';
import { majorOf } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import type { TopicLocation } from '../kafka/client/brokers.js';
import { advanceStage, requireClaim, type StageRow } from '../ledger/stages.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../pipeline/batch.js';
import type { StageContext } from '../pipeline/stage.js';
import type { ConsumerGroups } from './consumer-groups.js';
import { requirePartitions, requireRange, topicGone } from './errors.js';
import type { GroupOffsets } from './group-offsets.js';
import { headersBefore } from './headers-before.js';
import type { TopicReader } from './reader.js';
import type { TopicPosition } from './topic-source.js';
import { ReadProgress, waitingAt } from './read-progress.js';
import { MovedOffsets } from './moved-offsets.js';

const LOOK_EVERY_MS = 1_000;
/**
 * Without any progress for this long, while messages wait, the reader counts as stalled. After a kill of ClickHouse it waits 45 s
 * until Kafka gives up the dead member of its group.
 */
const STALLED_MS = 90_000;

/** Where the reader stands, as of the last batch that was confirmed. The worker's loader can go on from it. */
export interface GroupPosition extends TopicPosition {
  /** Everything of the capture up to here was read, whether it became a row or not; decimal. */
  readonly read?: string;
  /** Messages that it set aside. */
  readonly errors?: number;
  /** Offsets of an earlier moment, and the headers of the records before them: read again, they tell a topic that was made again. */
  readonly seen?: { readonly offsets: GroupOffsets; readonly headers: Readonly<Record<string, string>> };
}

export type GroupRow = StageRow<GroupPosition, OffsetBatch>;

/** A batch that is loaded already: only its size is left to know. */
export interface LoadedBatch {
  readonly messages: number;
}

/** A reader of the topic that is not of this process, such as ClickHouse's Kafka group. */
export interface GroupReader {
  /** Its name, for sentences: `ClickHouse's Kafka engine`. */
  readonly title: string;
  /**
   * Lets it read, unless it does.
   * @param from where reading stands, by partition
   * @param requireClaim throws where another attempt has taken over
   * @returns whether it had to be started
   */
  start(from: GroupOffsets, requireClaim: () => Promise<void>): Promise<boolean>;
  /** The next offsets to read, by partition, where its group has any. */
  committed(): Promise<GroupOffsets>;
  /** Messages that it has set aside. */
  errors(): Promise<number>;
  /** The last thing that went wrong for it, without any value of a row; undefined for nothing. */
  lastException(): Promise<string | undefined>;
}

export interface GroupSourceOptions {
  readonly group: GroupReader;
  readonly topic: string;
  readonly partitions: number;
  readonly reader: TopicReader;
  /** Everything of the capture up to the answer is in the topic. */
  readonly published: () => Promise<bigint>;
}

export interface GroupSourceServices {
  readonly ledger: Queryable;
  readonly groups: ConsumerGroups;
}

/**
 * Watches a consumer group of somebody else's and keeps its progress in the ledger, as batches that are loaded when they are named. It
 * loads no message; it starts the reader, compares offsets, and says so where the reader stands still or reads another topic.
 */
export class GroupSource implements BatchSource<OffsetBatch, LoadedBatch> {
  readonly isFinished = false;
  readonly pending: OffsetBatch | undefined;
  readonly #services: GroupSourceServices;
  readonly #stage: StageContext<GroupRow>;
  readonly #options: GroupSourceOptions;
  readonly #progress: ReadProgress;
  #position: GroupPosition;
  #batch: number;
  #waiting = 0;
  #errors: number;
  readonly #moved = new MovedOffsets();
  #stalledSince = Date.now();
  /** By partition: the group's offsets at the last look. */
  #committed: GroupOffsets = {};
  /** What is remembered of the topic is in the ledger too. */
  #isSaved = true;
  /** The capture is asked only while something moves. */
  #isQuiet = false;

  constructor(services: GroupSourceServices, stage: StageContext<GroupRow>, options: GroupSourceOptions) {
    this.#services = services;
    this.#stage = stage;
    this.#options = options;
    this.#position = stage.row.position;
    this.#batch = stage.row.batch;
    this.#errors = this.#position.errors ?? 0;
    this.#progress = new ReadProgress(BigInt(this.#position.read ?? 0));
    this.pending = stage.row.pending ?? undefined;
  }

  /** @throws Failure `LedgerSetBack`, `TopicReplaced`, `OffsetsExpired`, `PartitionsChanged`, and those of the reader's start */
  async verify(): Promise<void> {
    const { checkpoint } = this.#stage.request;
    const { table } = this.#stage;
    if (checkpoint !== null && this.#batch < checkpoint.batch)
      throw new Failure('LedgerSetBack', {
        message: `The ledger says that batch ${this.#batch} of ${formatTableName(table.name)} is the last loaded; batch ${checkpoint.batch} was confirmed before.`,
      });
    // In this order: what the reader has committed lies below the end of a moment later.
    this.#committed = await this.#options.group.committed();
    const location = await this.#locate();
    this.#requireRanges(location);
    await this.#requireSameTopic(location);
    // A short slice may end before its first look, and must not say that nothing waits.
    this.#waiting = waitingAt(location, this.#position.offsets);
    await this.#start();
    await this.#remember(location);
    // A person may have dealt with what was set aside, which moves no offset.
    this.#isQuiet = false;
  }

  async nameNext({ signal }: ReadOptions): Promise<OffsetBatch | undefined> {
    const ranges = await this.#look();
    if (ranges === undefined) {
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
      return undefined;
    }
    const { generation } = this.#stage.table;
    const name: OffsetBatch = { batch: this.#batch + 1, generation, shape: this.#stage.table.shape, ranges };
    await advanceStage(this.#services.ledger, this.#stage.claim, null, name);
    return name;
  }

  read({ ranges }: OffsetBatch): LoadedBatch {
    const sizes = Object.values(ranges).map(({ first, last }) => Number(BigInt(last) - BigInt(first)) + 1);
    return { messages: sizes.reduce((sum, size) => sum + size, 0) };
  }

  /** @param written its proof is a part of the target, with the highest version in it */
  async confirm({ batch, ranges }: OffsetBatch, { rows, bytes, proof }: Written): Promise<undefined> {
    const offsets = { ...this.#position.offsets };
    for (const [partition, { last }] of Object.entries(ranges)) offsets[partition] = String(BigInt(last) + 1n);
    const { highest } = (proof ?? {}) as { readonly highest?: string };
    const position: GroupPosition = {
      ...this.#position,
      offsets,
      headers: {},
      ...(highest === undefined ? {} : { highest }),
      read: String(this.#progress.read),
      errors: this.#errors,
    };
    await advanceStage(this.#services.ledger, this.#stage.claim, { batch, position, proof, rows, bytes }, null);
    this.#position = position;
    this.#isSaved = true;
    this.#batch = batch;
    this.#moved.add(ranges);
  }

  state(): SourceState {
    return {
      moved: String(this.#moved),
      waiting: this.#waiting,
      lagSeconds: this.#waiting === 0 ? 0 : this.#progress.lagSeconds(Date.now()),
      checkpoint: { batch: this.#batch, highest: String(majorOf(BigInt(this.#position.highest ?? '0'))) },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    // The reader goes on: that a slice ends is no reason to stop it.
    return Promise.resolve();
  }

  /** @returns what was read since the last batch; no range where only what is known of it changed; undefined for nothing */
  async #look(): Promise<Readonly<Record<string, OffsetRange>> | undefined> {
    const { group } = this.#options;
    await this.#requireOwn();
    const published = this.#isQuiet ? this.#progress.read : await this.#options.published();
    const location = await this.#locate();
    const committed = await group.committed();
    const { offsets } = this.#position;
    const isBehind = Object.entries(offsets).some(
      ([partition, offset]) => BigInt(committed[partition] ?? -1) < BigInt(offset),
    );
    this.#requireRanges(location);
    // Kafka forgets the offsets of a topic that is deleted, and the reader begins again with what it finds.
    if (isBehind) await this.#requireSameTopic(location);
    const ranges: Record<string, OffsetRange> = {};
    for (const [partition, offset] of Object.entries(offsets)) {
      const next = committed[partition] ?? offset;
      if (BigInt(next) > BigInt(offset)) ranges[partition] = { first: offset, last: String(BigInt(next) - 1n) };
    }
    const waiting = waitingAt(location, { ...offsets, ...committed });
    this.#noteProgress(committed, waiting);
    const before = this.#progress.read;
    const ends = Object.fromEntries(Object.entries(location.offsets).map(([partition, { high }]) => [partition, high]));
    this.#progress.observe(published, ends, { ...offsets, ...committed }, Date.now());
    this.#waiting = waiting;
    const hasMoved = Object.keys(ranges).length > 0;
    const errors = hasMoved || !this.#isQuiet ? await group.errors() : this.#errors;
    const hasNews = hasMoved || !this.#isSaved || errors !== this.#errors || this.#progress.read > before;
    this.#errors = errors;
    this.#isQuiet = !hasNews && waiting === 0;
    if (waiting > 0 && Date.now() - this.#stalledSince > STALLED_MS) await this.#throwStalled(waiting);
    return hasNews ? ranges : undefined;
  }

  #noteProgress(committed: GroupOffsets, waiting: number): void {
    const moved = Object.entries(committed).some(([partition, offset]) => this.#committed[partition] !== offset);
    if (moved || waiting === 0) this.#stalledSince = Date.now();
    this.#committed = committed;
  }

  async #throwStalled(waiting: number): Promise<never> {
    const { group, topic } = this.#options;
    const met = await group.lastException();
    throw new Failure('NoProgress', {
      message:
        `${group.title} has read nothing of topic ${topic} for ${STALLED_MS / 1_000} s, and ${waiting} messages wait` +
        `${met === undefined ? '' : `; the last error that it met: ${met}`}.`,
      remedy:
        'Look at system.kafka_consumers in ClickHouse. If it cannot reach Kafka: KAFKA_BOOTSTRAP_FOR_CLICKHOUSE names the brokers as ClickHouse sees them.',
    });
  }

  async #locate(): Promise<TopicLocation> {
    const { topic, partitions } = this.#options;
    const location = await this.#services.groups.locate(topic);
    if (location === undefined) throw topicGone(topic);
    requirePartitions(location, topic, partitions);
    return location;
  }

  /** What is read next must be there: it has gone on while no slice ran. */
  #requireRanges(location: TopicLocation): void {
    const { topic } = this.#options;
    for (const [partition, offset] of Object.entries(this.#position.offsets)) {
      const known = BigInt(this.#committed[partition] ?? 0);
      const next = known > BigInt(offset) ? known : BigInt(offset);
      requireRange(location, topic, Number(partition), Number(next));
    }
  }

  /** Reads the records again that were the last ones at an earlier moment. */
  async #requireSameTopic({ offsets }: TopicLocation): Promise<void> {
    const { seen } = this.#position;
    if (seen === undefined) return;
    const { reader, topic } = this.#options;
    const headers: Record<string, string> = {};
    const start: Record<string, string> = {};
    for (const [partition, offset] of Object.entries(seen.offsets)) {
      const low = offsets[partition]?.low ?? '0';
      const hasExpired = BigInt(offset) <= BigInt(low);
      start[partition] = hasExpired ? low : offset;
      const header = seen.headers[partition];
      if (!hasExpired && header !== undefined) headers[partition] = header;
      if (!hasExpired) requireRange({ partitions: 0, offsets }, topic, Number(partition), Number(offset));
    }
    (await reader.start(start, { headers }))[Symbol.dispose]();
  }

  /** The next batch takes it into the ledger; it may be an empty one. */
  async #remember(location: TopicLocation): Promise<void> {
    const { offsets, seen } = this.#position;
    if (
      seen !== undefined &&
      Object.entries(offsets).every(([partition, offset]) => seen.offsets[partition] === offset)
    )
      return;
    const headers = await headersBefore(this.#options.reader, offsets, location);
    this.#position = { ...this.#position, seen: { offsets, headers } };
    this.#isSaved = false;
  }

  async #start(): Promise<void> {
    const started = await this.#options.group.start(this.#position.offsets, () => this.#requireOwn());
    if (started) this.#stalledSince = Date.now();
  }

  #requireOwn(): Promise<void> {
    return requireClaim(this.#services.ledger, this.#stage.claim);
  }
}
