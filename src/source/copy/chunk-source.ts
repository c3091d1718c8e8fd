import { Readable } from 'node:stream';
import type { PostgresClient } from '../../connect/postgres.js';
import type { Chunk, ChunkBatch } from '../../domain/chunk.js';
import { formatTableName } from '../../domain/table-name.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import { ensureFlushed } from '../flush.js';
import type { CopyPlan, CopyServices } from './copy-plan.js';
import { copyRows } from './copy-rows.js';

/** COPY text, with the columns of `targetColumns` in their order. */
export interface ChunkContent {
  readonly rows: Readable;
}

export interface ChunkReaderOptions {
  /** It takes a connection only where one is free, and gives it back when another copy of no lower priority waits for one. */
  readonly isExtra: boolean;
  /** Ends the wait for a connection: the end of the slice would not do, the next one would begin at the end of the queue again. */
  readonly stopping: AbortSignal;
}

/** The chunks of a copy that one reader takes, on a connection of its own. */
export class ChunkSource implements BatchSource<ChunkBatch, ChunkContent> {
  readonly pending = undefined;
  readonly #services: CopyServices;
  readonly #plan: CopyPlan;
  readonly #options: ChunkReaderOptions;
  #connection: PostgresClient | undefined;
  /** A COPY was begun on the connection: where it did not end, nothing else can run there. */
  #hasRead = false;
  #chunk: Chunk | undefined;
  #isFinished = false;

  constructor(services: CopyServices, plan: CopyPlan, options: ChunkReaderOptions) {
    this.#services = services;
    this.#plan = plan;
    this.#options = options;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  verify(): Promise<void> {
    return Promise.resolve();
  }

  async nameNext({ onProgress }: ReadOptions): Promise<ChunkBatch | undefined> {
    const { stopping } = this.#options;
    const mayRead = !this.#givesWay && (await this.#mayConnect(onProgress));
    this.#chunk = mayRead && !stopping.aborted ? this.#plan.take() : undefined;
    if (this.#chunk === undefined) {
      this.#isFinished = true;
      return undefined;
    }
    const { generation, shape, position } = this.#plan.name;
    return { batch: this.#chunk.chunk, generation, shape: shape ?? 1, position, range: this.#chunk.range };
  }

  async read({ position, range }: ChunkBatch, options: ReadOptions): Promise<ChunkContent> {
    if (this.#hasRead) await this.#disconnect();
    await this.#plan.begin(this.#requireChunk());
    const pg = await this.#connect(options.onProgress);
    this.#hasRead = true;
    const rows = copyRows(pg, this.#plan.table, position, {
      signal: options.signal,
      range,
      where: this.#plan.where,
      onSnapshot: () => ensureFlushed(this.#services.source),
    });
    const { limit } = this.#services.copies;
    return { rows: limit.isNone ? rows : Readable.from(limit.pass(rows, options.signal), { objectMode: false }) };
  }

  async confirm(_name: ChunkBatch, written: Written): Promise<undefined> {
    await this.#plan.confirm(this.#requireChunk(), written);
    // It was written, so its COPY has ended.
    this.#hasRead = false;
    return undefined;
  }

  state(): SourceState {
    return this.#plan.state();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disconnect();
  }

  #requireChunk(): Chunk {
    if (this.#chunk === undefined) throw new Error('no chunk is in hand');
    return this.#chunk;
  }

  /** A connection that another copy is to have: at the end of a chunk, and never before the first. */
  get #givesWay(): boolean {
    const { copies } = this.#services;
    const { priority } = this.#plan;
    if (this.#options.isExtra) return copies.areWanted(priority);
    return this.#connection !== undefined && copies.areWantedFirst(priority);
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#hasRead = false;
    await connection?.[Symbol.asyncDispose]();
  }

  /** @returns false where none is free, or nobody waits any more */
  async #mayConnect(onProgress: ReadOptions['onProgress']): Promise<boolean> {
    const { isExtra, stopping } = this.#options;
    if (isExtra) this.#connection ??= await this.#services.copies.takeFree(this.#connectionName);
    else
      await this.#connect(onProgress).catch((error: unknown) => {
        if (!stopping.aborted) throw error;
      });
    return this.#connection !== undefined;
  }

  async #connect(onProgress: ReadOptions['onProgress']): Promise<PostgresClient> {
    const options = this.#plan.turn({ signal: this.#options.stopping, onProgress });
    this.#connection ??= await this.#services.copies.take(this.#connectionName, options);
    return this.#connection;
  }

  get #connectionName(): string {
    return `copy ${formatTableName(this.#plan.table.name)}`;
  }
}
