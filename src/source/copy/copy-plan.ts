import type { Queryable } from '../../connect/queryable.js';
import type { CopyBatch } from '../../domain/batch.js';
import type { Chunk, CopyProgress, KeyRange } from '../../domain/chunk.js';
import { isBackfill, type BackfillPosition } from '../../domain/backfill.js';
import { DEFAULT_PRIORITY, type CopyPriority } from '../../domain/copy-priority.js';
import type { FlowGoal } from '../../domain/flow-goal.js';
import { given } from '../../domain/given.js';
import { COPY_STAGE } from '../../domain/route.js';
import { formatTableName } from '../../domain/table-name.js';
import { composeVersion, type Version } from '../../domain/version.js';
import {
  addChunks,
  beginChunk,
  confirmChunk,
  forgetChunks,
  readChunks,
  reopenChunks,
  replaceChunks,
} from '../../ledger/chunks.js';
import { advanceStage, forgetGoal, type StageRow } from '../../ledger/stages.js';
import type { ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import type { Capture } from '../capture.js';
import { ensureFlushed } from '../flush.js';
import { settle } from '../settle.js';
import type { CopyConnections, CopyTurn } from './copy-connections.js';
import { planKeyRange } from './plan-key-range.js';
import { planChunks, planHeap, readTableBytes, type PlannedChunk } from './plan-chunks.js';

/**
 * What a backfill reads, and of each copy: `done`: the allocated position of the copy that is done, decimal; `rows`: how many it had. `again`: the target was copied before,
 * and may hold rows that went without an event.
 */
export interface CopyPosition extends Partial<BackfillPosition>, FlowGoal {
  readonly done?: string;
  readonly rows?: string;
  readonly again?: boolean;
  /** Of a resync: since when it is filled, as `noteFilling` writes it. */
  readonly filledSince?: string;
  /** Tombstones that a backfill wrote. */
  readonly pruned?: number;
}

export type CopyRow = StageRow<CopyPosition, CopyBatch>;

export interface CopyServices {
  readonly ledger: Queryable;
  /** Another connection than those of the copies. */
  readonly source: Queryable;
  readonly copies: CopyConnections;
  readonly settings: { readonly worker: { readonly copyChunkBytes: number } };
}

/** What is to be pruned when all of it was read: see `pruneRange`. */
export interface Prune {
  readonly range: KeyRange;
  readonly version: Version;
}

/** Of a range of keys, which the index counts. */
const ROWS_PER_CHUNK = 250_000;

const NOTHING: CopyProgress = { chunks: 0, chunksDone: 0, rows: 0, bytes: 0, bytesDone: 0 };

/**
 * A whole table, or a part of it, beside the live flow: allocate a position, wait for the writers of that moment, name the copy, cut the table into
 * chunks, and read them in any order and any number at once. Every copied row carries the position as its version, so each later change
 * wins over it, and so does every row of a repeat under the same name: what changed between two attempts, or between two chunks, has an
 * event of its own. So each chunk has a snapshot of its own, and is confirmed by itself.
 */
export class CopyPlan {
  readonly #services: CopyServices;
  readonly #stage: StageContext<CopyRow>;
  #position: CopyPosition;
  #batch: number;
  #name: CopyBatch | undefined;
  /** Not taken by a reader yet, in their order. */
  readonly #left: Chunk[] = [];
  #progress = NOTHING;
  /** Of the table, before it is planned: a range of it counts as nothing. */
  #tableBytes = 0;

  constructor(services: CopyServices, stage: StageContext<CopyRow>) {
    this.#services = services;
    this.#stage = stage;
    this.#position = stage.row.position;
    this.#batch = stage.row.batch;
    this.#name = stage.row.pending ?? undefined;
  }

  get table(): StageContext['table'] {
    return this.#stage.table;
  }

  /** The copy is done, its end too. */
  get isFinished(): boolean {
    return this.#position.done !== undefined;
  }

  /** All chunks are done, and its end is not. */
  get isCopied(): boolean {
    return !this.isFinished && this.#progress.chunksDone === this.#progress.chunks;
  }

  get chunksLeft(): number {
    return this.#progress.chunks - this.#progress.chunksDone;
  }

  /** Copied so far. */
  get rows(): number {
    return this.#position.rows === undefined ? this.#progress.rows : Number(this.#position.rows);
  }

  get progress(): CopyProgress {
    return this.#progress;
  }

  /** @throws Error before `prepare` */
  get name(): CopyBatch {
    if (this.#name === undefined) throw new Error('the copy has no name yet');
    return this.#name;
  }

  /**
   * Names the copy and cuts the table into chunks, where an earlier attempt has not.
   * @param capture allocates its position
   */
  async prepare(capture: Capture, options: ReadOptions): Promise<void> {
    if (this.isFinished) return;
    const { ledger, source, copies } = this.#services;
    const { claim, table } = this.#stage;
    if (this.#name === undefined) {
      if ((this.#position.range ?? null) === null) this.#tableBytes = await readTableBytes(source, table);
      // Chunks of a copy that was done, or that begins again, are of another position: those that are done are not in this one.
      await forgetChunks(ledger, claim);
      await using pg = await copies.take(this.#connectionName, this.turn(options));
      await this.#nameIt(pg, capture, options);
    }
    let plan = await readChunks(ledger, claim);
    if (plan.progress.chunks === 0) {
      await addChunks(ledger, claim, await this.#planChunks(options));
      plan = await readChunks(ledger, claim);
    }
    this.#left.push(...plan.left);
    this.#progress = plan.progress;
  }

  /**
   * Reads chunks again that the target's server may have lost with a crash.
   * @param uptimeSeconds how long that server runs
   */
  async doubt(uptimeSeconds: number): Promise<void> {
    const { ledger } = this.#services;
    const { claim } = this.#stage;
    if (this.isFinished || (await reopenChunks(ledger, claim, uptimeSeconds)) === 0) return;
    const { left, progress } = await readChunks(ledger, claim);
    this.#left.splice(0, this.#left.length, ...left);
    this.#progress = progress;
    // A row may be moved out of a chunk after the goal was set.
    const { captured: _captured, ends: _ends, ...position } = this.#position;
    await forgetGoal(ledger, claim);
    this.#position = position;
  }

  /** What the live flow must have loaded before the end: see `hidesRows`. */
  get goal(): FlowGoal {
    const { captured, ends } = this.#position;
    return given({ captured, ends }) as FlowGoal;
  }

  /** Its end hides or deletes rows that readers see until then. A row that an UPDATE moved between two chunks would be gone for a while. */
  get hidesRows(): boolean {
    const isFirst =
      this.#stage.table.generation === 1 && this.#stage.stage === COPY_STAGE && this.#position.again !== true;
    return (this.floor !== undefined && !isFirst) || this.prune !== undefined;
  }

  get priority(): CopyPriority {
    return this.#stage.request.priority ?? DEFAULT_PRIORITY;
  }

  /** How it waits for a connection. */
  turn({ signal, onProgress }: ReadOptions): CopyTurn {
    const { chunks, bytes, bytesDone } = this.#progress;
    return {
      signal,
      priority: this.priority,
      bytes: chunks === 0 ? this.#tableBytes : bytes - bytesDone,
      onWait: (ahead) => onProgress(`waiting for its turn, ${ahead} ahead of it`),
    };
  }

  /** @returns undefined where all are done or taken */
  take(): Chunk | undefined {
    return this.#left.shift();
  }

  /** A chunk is about to be read. */
  async begin({ chunk }: Chunk): Promise<void> {
    await beginChunk(this.#services.ledger, this.#stage.claim, chunk);
  }

  async confirm({ chunk, bytes: planned }: Chunk, { rows, bytes }: Written): Promise<void> {
    if (!(await confirmChunk(this.#services.ledger, this.#stage.claim, { chunk, rows, bytes }))) return;
    const { chunksDone, rows: before, bytesDone, ...all } = this.#progress;
    this.#progress = { ...all, chunksDone: chunksDone + 1, rows: before + rows, bytesDone: bytesDone + planned };
  }

  /** Plans a heap again that was rewritten: its rows are elsewhere in it now, those of chunks that are done too. */
  async replan(relation: string): Promise<void> {
    const { ledger, source, settings } = this.#services;
    const { claim, table } = this.#stage;
    const planned = await planHeap(source, table, relation, settings.worker.copyChunkBytes);
    await replaceChunks(ledger, claim, relation, planned);
  }

  /** Also of a table in which nothing was found: what was deleted must be so for good before anything is deleted in the target. */
  ensureFlushed(): Promise<void> {
    return ensureFlushed(this.#services.source);
  }

  /** Confirms the copy as a whole. @param pruned tombstones */
  async finish(proof: unknown, pruned: number): Promise<void> {
    const { ledger } = this.#services;
    const { claim } = this.#stage;
    const { batch, position } = this.name;
    const { again: _again, captured: _captured, ends: _ends, ...kept } = this.#position;
    const done = { ...kept, done: position, rows: String(this.#progress.rows), ...(pruned === 0 ? {} : { pruned }) };
    await advanceStage(ledger, claim, { batch, position: done, proof, rows: pruned, bytes: 0 }, null);
    await forgetChunks(ledger, claim);
    this.#position = done;
    this.#batch = batch;
  }

  /**
   * Rows of the target at or below it were there before: those deleted meanwhile have no tombstone. Where the table was added again
   * they are of an older generation; where a loader was added later, every row below the copy's own version is. Below the first
   * generation are only rows of somebody else.
   */
  get floor(): Version | undefined {
    const { stage, table } = this.#stage;
    const { generation } = table;
    if (isBackfill(stage)) return undefined;
    if (stage !== COPY_STAGE || this.#position.again === true)
      return composeVersion(generation, BigInt(this.name.position)) - 1n;
    return composeVersion(generation, 0n);
  }

  /** Which rows are read of its chunks, in SQL; undefined for all. */
  get where(): string | undefined {
    return this.#position.where ?? undefined;
  }

  get pruned(): number | undefined {
    return this.#position.pruned;
  }

  /** What a backfill prunes; undefined for nothing. */
  get prune(): Prune | undefined {
    const { prune = false, range } = this.#position;
    if (!prune) return undefined;
    const version = composeVersion(this.#stage.table.generation, BigInt(this.name.position));
    return { range: range ?? { kind: 'keys', from: null, to: null }, version };
  }

  state(): SourceState {
    const { chunks, chunksDone } = this.#progress;
    return {
      moved: this.isFinished || chunksDone > 0 ? `${this.rows} rows` : '',
      waiting: chunks - chunksDone,
      lagSeconds: 0,
      checkpoint: { batch: this.#batch, highest: this.#position.done ?? '0' },
    };
  }

  async #planChunks(options: ReadOptions): Promise<readonly PlannedChunk[]> {
    const { source, settings, copies } = this.#services;
    const { table } = this.#stage;
    const { range = null } = this.#position;
    if (range === null) return planChunks(source, table, settings.worker.copyChunkBytes);
    await using pg = await copies.take(this.#connectionName, this.turn(options));
    return await planKeyRange(pg, table, range, ROWS_PER_CHUNK, options);
  }

  get #connectionName(): string {
    return `copy ${formatTableName(this.#stage.table.name)}`;
  }

  async #nameIt(pg: Queryable, capture: Capture, { signal, onProgress }: ReadOptions): Promise<void> {
    const { table, claim } = this.#stage;
    const position = await capture.allocatePosition(pg, table);
    await settle(pg, table.relation, {
      signal,
      onWait: (writers) => onProgress(`waiting for ${writers} writers`),
      onHeld: (who) => onProgress(`waiting for writers: ${who}`),
    });
    const { generation, shape } = table;
    const name = { batch: this.#batch + 1, generation, shape, position };
    await advanceStage(this.#services.ledger, claim, null, name);
    this.#name = name;
  }
}
