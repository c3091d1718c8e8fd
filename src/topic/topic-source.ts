import type { Queryable } from '../connect/queryable.js';
import type { OffsetBatch } from '../domain/batch.js';
import type { Checkpoint } from '../domain/receipt.js';
import { formatTableName } from '../domain/table-name.js';
import { composeVersion, majorOf } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import { advanceStage, type StageRow } from '../ledger/stages.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../pipeline/batch.js';
import type { StageContext } from '../pipeline/stage.js';
import { withEarlier, type EarlierPosition } from './earlier-positions.js';
import type { MessageForm } from './fetched.js';
import type { Fetched, TakeOptions, TopicReader, TopicReading } from './reader.js';
import type { OffsetMirror } from './offset-mirror.js';
import { MovedOffsets } from './moved-offsets.js';

/**
 * One insert is one block: far below the 500,000 rows and 100 MB where ClickHouse would split it. Larger ones than this gain
 * nothing any more, and two of them are held in memory.
 */
const LIMITS = { maxRows: 200_000, maxBytes: 12_000_000 };
/** Their rows are read again whole after a failure: as many as fill `maxBytes`, by the size of those of the last batch. */
const FIRST_KEYS = 5_000;
const MOST_KEYS = 50_000;
/** How long one wait for an idle topic lasts. */
const WAIT_MS = 1_000;

/** Where reading stands: by partition number. */
export interface TopicPosition {
  /** The next offset to read, decimal. */
  readonly offsets: Readonly<Record<string, string>>;
  /** Header of the record at `offset - 1`: read again at the start of a slice, it tells a topic that was deleted and made again. */
  readonly headers: Readonly<Record<string, string>>;
  /** Highest version that was loaded, decimal; absent before the first batch. */
  readonly highest?: string;
  /** Of a loader that was added later: everything up to this position of the capture lies before its first offset. Decimal. */
  readonly since?: string;
  /** As in `Fetched`: of all that was loaded. */
  readonly streamed?: boolean;
  /** Those of the last minutes, in their order. */
  readonly earlier?: readonly EarlierPosition[];
  /** When the last batch was confirmed, by the clock of the worker, milliseconds. */
  readonly confirmedAt?: number;
  /** By its id: when a server of ClickHouse was started, as seen when the stage was claimed. See `ServerStart`. */
  readonly servers?: Readonly<Record<string, number>>;
  /** How often the loader went back to an earlier position. */
  readonly returns?: number;
}

export type TopicRow = StageRow<TopicPosition, OffsetBatch>;

/** What is read of a topic, and how it is shown. */
export interface TopicOptions {
  readonly topic: string;
  /** This deployment: messages of others are refused. */
  readonly origin: string;
  /** Whether the position is shown as that of the public group; true when absent. Of the loaders of a table one is. */
  readonly mirrored?: boolean;
  /** Whether earlier positions are kept, to go back to. */
  readonly goesBack?: boolean;
  /** Where the messages are not ours. */
  readonly foreign?: ForeignTopic | undefined;
  /** Where reading ends: by partition the first offset that is not read. Called until it is known. Absent: it never ends. */
  readonly end?: () => Promise<Readonly<Record<string, string>> | undefined>;
}

/** How the messages of others are read. */
export interface ForeignTopic {
  readonly form: MessageForm;
  /** Called with each batch that is taken, before the next one is. */
  loaded(fetched: Fetched): void;
  /** Checks what no message says. @throws Failure `SourceChanged`, `MissingTable` */
  verify(): Promise<void>;
  /** Deals with what the form cannot take, so that it may be tried again. @throws what it was given, or why it cannot be taken */
  learn(met: unknown): Promise<void>;
}

export interface TopicServices {
  readonly ledger: Queryable;
  /** @param options `subscriber`: of two readings of one, the one that started later goes on; `origin`: whose messages are taken */
  reader(
    topic: string,
    options: {
      readonly subscriber: string;
      readonly origin?: string | undefined;
      readonly form?: MessageForm | undefined;
    },
  ): TopicReader;
  /** The public consumer group's offsets, for lag tools; best effort. */
  readonly mirror: OffsetMirror;
}

/**
 * The messages of a table's topic, from the position in the ledger, never from a consumer group's. A batch is a range of
 * offsets of each partition, so a retry reads the same bytes.
 */
export class TopicSource implements BatchSource<OffsetBatch, Fetched> {
  readonly pending: OffsetBatch | undefined;
  readonly #services: TopicServices;
  readonly #stage: StageContext<TopicRow>;
  readonly #topic: string;
  readonly #options: TopicOptions;
  #ends: Readonly<Record<string, string>> | undefined;
  readonly #reader: TopicReader;
  #reading: TopicReading | undefined;
  #position: TopicPosition;
  #batch: number;
  /** Of the batch that is named, once it was fetched. */
  #fetched: Fetched | undefined;
  readonly #moved = new MovedOffsets();
  #lagSeconds = 0;
  #maxKeys = FIRST_KEYS;

  constructor(services: TopicServices, stage: StageContext<TopicRow>, options: TopicOptions) {
    const { topic, origin, foreign } = options;
    this.#options = options;
    this.#services = services;
    this.#stage = stage;
    this.#topic = topic;
    this.#reader = services.reader(topic, {
      subscriber: `${stage.table.id}/${stage.stage}`,
      origin,
      form: foreign?.form,
    });
    this.#position = stage.row.position;
    this.#batch = stage.row.batch;
    this.pending = stage.row.pending ?? undefined;
  }

  /** Nothing is left before its end. */
  get isFinished(): boolean {
    const ends = Object.entries(this.#ends ?? {});
    return (
      ends.length > 0 && ends.every(([partition, end]) => Number(this.#position.offsets[partition]) >= Number(end))
    );
  }

  /** @throws Failure `LedgerSetBack`; with the first call those of a topic that is not what it was */
  async verify(): Promise<void> {
    const { checkpoint } = this.#stage.request;
    const { table } = this.#stage;
    if (checkpoint !== null && this.#batch < checkpoint.batch)
      throw new Failure('LedgerSetBack', {
        message: `The ledger says that batch ${this.#batch} of ${formatTableName(table.name)} is the last loaded; batch ${checkpoint.batch} was confirmed before.`,
      });
    await this.#options.foreign?.verify();
    await this.#open();
  }

  async nameNext({ signal }: ReadOptions): Promise<OffsetBatch | undefined> {
    const reading = await this.#open();
    const taken = await this.#take(reading, this.#batch + 1, { waitMs: WAIT_MS, signal });
    if (taken === undefined) {
      this.#lagSeconds = 0;
      return undefined;
    }
    await advanceStage(this.#services.ledger, this.#stage.claim, null, taken.name);
    this.#fetched = taken.fetched;
    return taken.name;
  }

  async read(name: OffsetBatch, { signal }: ReadOptions): Promise<Fetched> {
    return (this.#fetched ??= await this.#learning(
      async () => (await this.#open()).takeExactly(name.ranges, { signal }),
      // A part of the batch was taken.
      () => this.#shut(),
    ));
  }

  async confirm(
    { batch }: OffsetBatch,
    { rows, bytes, proof }: Written,
    { nameNext }: { readonly nameNext: boolean },
  ): Promise<OffsetBatch | undefined> {
    const fetched = this.#fetched;
    if (fetched === undefined) throw new Error(`batch ${batch} is confirmed, and was not read`);
    const reading = await this.#open();
    const moved = positionAfter(this.#position, fetched, this.#stage.table.generation);
    const after = this.#options.goesBack === true ? withEarlier(this.#position, moved, Date.now()) : moved;
    const position = this.#ends === undefined ? after : { ...after, end: this.#ends };
    this.#position = position;
    if (fetched.encoding === 'keys' && rows > 0)
      this.#maxKeys = Math.min(MOST_KEYS, Math.max(1, Math.floor((LIMITS.maxBytes / bytes) * rows)));
    const confirm = (next: OffsetBatch | null): Promise<void> =>
      advanceStage(this.#services.ledger, this.#stage.claim, { batch, position, proof, rows, bytes }, next);
    const options = { waitMs: 0, signal: this.#stage.slice.ending };
    const taking = nameNext ? this.#take(reading, batch + 1, options) : undefined;
    const next = await taking?.catch(async (error: unknown) => {
      // What comes next is refused, or cannot be reached. That is no reason to leave what is loaded unconfirmed.
      await confirm(null);
      throw error;
    });
    await confirm(next?.name ?? null);
    this.#batch = batch;
    this.#fetched = next?.fetched;
    if (this.#options.mirrored !== false) this.#services.mirror.commit(this.#topic, position.offsets);
    this.#moved.add(fetched.ranges);
    this.#lagSeconds = Math.max(0, (Date.now() - fetched.oldestTimestampMs) / 1_000);
    return next?.name;
  }

  state(): SourceState {
    const waiting = this.#waiting();
    return {
      moved: String(this.#moved),
      waiting,
      lagSeconds: waiting === 0 && this.#fetched === undefined ? 0 : this.#lagSeconds,
      checkpoint: this.#checkpoint(),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#shut();
    return Promise.resolve();
  }

  #shut(): void {
    this.#reading?.[Symbol.dispose]();
    this.#reading = undefined;
  }

  #waiting(): number {
    if (this.#ends === undefined) return this.#reading?.waiting() ?? 0;
    const { offsets } = this.#position;
    return Object.entries(this.#ends).reduce(
      (sum, [of, end]) => sum + Math.max(0, Number(end) - Number(offsets[of])),
      0,
    );
  }

  #checkpoint(): Checkpoint {
    return { batch: this.#batch, highest: String(majorOf(BigInt(this.#position.highest ?? '0'))) };
  }

  /** Also reads the record before the position again, and compares it with what the ledger remembers of it. */
  async #open(): Promise<TopicReading> {
    this.#reading ??= await this.#reader.start(this.#position.offsets, {
      generation: this.#stage.table.generation,
      headers: this.#position.headers,
    });
    return this.#reading;
  }

  /** What is there, and its name. @throws Failure those of `TopicReading.take` and `#nameOf` */
  async #take(
    reading: TopicReading,
    batch: number,
    options: Pick<TakeOptions, 'waitMs' | 'signal'>,
  ): Promise<{ readonly fetched: Fetched; readonly name: OffsetBatch } | undefined> {
    this.#ends ??= await this.#options.end?.();
    if (this.isFinished) return undefined;
    const fetched = await this.#learning(() =>
      reading.take({ ...LIMITS, maxKeys: this.#maxKeys, ...options, ends: this.#ends }),
    );
    if (fetched !== undefined) this.#options.foreign?.loaded(fetched);
    return fetched && { fetched, name: this.#nameOf(fetched, batch) };
  }

  /** Messages of others may show what has to be looked up first. @param learnt called before each other try */
  async #learning<T>(take: () => Promise<T>, learnt = (): void => undefined): Promise<T> {
    const { foreign } = this.#options;
    for (;;)
      try {
        return await take();
      } catch (error) {
        if (foreign === undefined) throw error;
        await foreign.learn(error);
        learnt();
      }
  }

  /** @throws Failure `Unexpected` unless it continues where the confirmed batches end: whatever a reader does, nothing is passed over */
  #nameOf(fetched: Fetched, batch: number): OffsetBatch {
    const { offsets } = this.#position;
    for (const [partition, { first }] of Object.entries(fetched.ranges))
      if (first !== offsets[partition])
        throw new Failure('Unexpected', {
          message: `Offset ${first} of ${this.#topic}/${partition} was read where ${offsets[partition]} comes next.`,
        });
    const { returns } = this.#position;
    const name = { batch, generation: this.#stage.table.generation, shape: fetched.shape, ranges: fetched.ranges };
    return returns === undefined ? name : { ...name, returns };
  }
}

function positionAfter(position: TopicPosition, fetched: Fetched, generation: number): TopicPosition {
  const offsets = { ...position.offsets };
  for (const [partition, { last }] of Object.entries(fetched.ranges)) offsets[partition] = String(BigInt(last) + 1n);
  const before = BigInt(position.highest ?? '0');
  // Messages of an older generation load nothing: ClickHouse would be asked for a version that it never got.
  const fetchedTo = fetched.highest === '0' ? 0n : composeVersion(generation, BigInt(fetched.highest));
  const highest = fetchedTo > before ? fetchedTo : before;
  // A replay keeps more in its position.
  const streamed = fetched.streamed === true ? { streamed: true } : {};
  return {
    ...position,
    ...streamed,
    offsets,
    headers: { ...position.headers, ...fetched.headers },
    highest: String(highest),
  };
}
