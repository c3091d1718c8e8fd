import type { Readable } from 'node:stream';
import type { Queryable } from '../../connect/queryable.js';
import type { PostgresClient } from '../../connect/postgres.js';
import type { AcquireOptions } from '../../connect/semaphore.js';
import type { CopyBatch } from '../../domain/batch.js';
import { COPY_STAGE } from '../../domain/route.js';
import { formatTableName } from '../../domain/table-name.js';
import { composeVersion, type Version } from '../../domain/version.js';
import { advanceStage, type StageRow } from '../../ledger/stages.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import type { Capture } from '../capture.js';
import { ensureFlushed } from '../flush.js';
import { settle } from '../settle.js';
import { copyRows } from './copy-rows.js';

/**
 * `done`: the allocated position of the copy that is done, decimal; `rows`: how many it had. `again`: the target was copied before,
 * and may hold rows that went without an event.
 */
export interface CopyPosition {
  readonly done?: string;
  readonly rows?: string;
  readonly again?: boolean;
}

export type CopyRow = StageRow<CopyPosition, CopyBatch>;

export interface CopyServices {
  readonly ledger: Queryable;
  /** Another connection than the copy's. */
  readonly source: Queryable;
  /** A connection of the copy's own, when its turn has come. */
  connectSource(name: string, options: AcquireOptions & { readonly copies: true }): Promise<PostgresClient>;
}

export interface CopyContent {
  /** COPY text, with the columns of `targetColumns` in their order. */
  readonly rows: Readable;
  /**
   * Rows of the target at or below it were there before: those deleted meanwhile have no tombstone. Where the table was added again
   * they are of an older generation; where a loader was added later, every row below the copy's own version is.
   */
  readonly floor: Version | undefined;
}

/**
 * A whole table as one batch, beside the live flow: allocate a position, wait for the writers of that moment, name the batch,
 * stream the table. Every copied row carries the position as its version, so each later change wins over it, and so does every
 * row of a repeat under the same name: what changed between two attempts has an event of its own.
 */
export class CopySource implements BatchSource<CopyBatch, CopyContent> {
  readonly pending: CopyBatch | undefined;
  readonly #services: CopyServices;
  readonly #capture: Capture;
  readonly #stage: StageContext<CopyRow>;
  readonly #title: string;
  #connection: PostgresClient | undefined;
  /** A COPY was begun on the connection: where it did not end, nothing else can run there. */
  #hasRead = false;
  #position: CopyPosition;
  #batch: number;

  constructor(services: CopyServices, stage: StageContext<CopyRow>, capture: Capture) {
    this.#services = services;
    this.#capture = capture;
    this.#stage = stage;
    this.#title = formatTableName(stage.table.name);
    this.#position = stage.row.position;
    this.#batch = stage.row.batch;
    this.pending = stage.row.pending ?? undefined;
  }

  get isFinished(): boolean {
    return this.#position.done !== undefined;
  }

  verify(): Promise<void> {
    return Promise.resolve();
  }

  async nameNext({ signal, onProgress }: ReadOptions): Promise<CopyBatch> {
    const { table, claim } = this.#stage;
    const pg = await this.#connect({ signal, onProgress });
    const position = await this.#capture.allocatePosition(pg, table);
    await settle(pg, table.relation, {
      signal,
      onWait: (writers) => onProgress(`waiting for ${writers} writers`),
      onHeld: (who) => onProgress(`waiting for writers: ${who}`),
    });
    const { generation, shape } = table;
    const name = { batch: this.#batch + 1, generation, shape, position };
    await advanceStage(this.#services.ledger, claim, null, name);
    return name;
  }

  async read(name: CopyBatch, options: ReadOptions): Promise<CopyContent> {
    const { table } = this.#stage;
    if (this.#hasRead) await this.#disconnect();
    const pg = await this.#connect(options);
    this.#hasRead = true;
    return {
      rows: copyRows(pg, table, name.position, {
        signal: options.signal,
        onSnapshot: () => ensureFlushed(this.#services.source),
      }),
      floor: this.#floorOf(name),
    };
  }

  async confirm({ batch, position }: CopyBatch, { rows, bytes, proof }: Written): Promise<undefined> {
    const done = { done: position, rows: String(rows) };
    await advanceStage(this.#services.ledger, this.#stage.claim, { batch, position: done, proof, rows, bytes }, null);
    this.#position = done;
    this.#batch = batch;
    return undefined;
  }

  state(): SourceState {
    return {
      moved: this.#position.rows === undefined ? '' : `${this.#position.rows} rows`,
      waiting: 0,
      lagSeconds: 0,
      checkpoint: { batch: this.#batch, highest: this.#position.done ?? '0' },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disconnect();
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#hasRead = false;
    await connection?.[Symbol.asyncDispose]();
  }

  #floorOf({ position }: CopyBatch): Version | undefined {
    const { stage, table } = this.#stage;
    const { generation } = table;
    if (stage !== COPY_STAGE || this.#position.again === true) return composeVersion(generation, BigInt(position)) - 1n;
    return generation > 1 ? composeVersion(generation, 0n) : undefined;
  }

  async #connect({ signal, onProgress }: ReadOptions): Promise<PostgresClient> {
    this.#connection ??= await this.#services.connectSource(`copy ${this.#title}`, {
      copies: true,
      signal,
      onWait: (ahead) => onProgress(`waiting for its turn, ${ahead} ahead of it`),
    });
    return this.#connection;
  }
}
