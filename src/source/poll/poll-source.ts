import type { ClientBase, Pool } from 'pg';
import type { Databases } from '../../connect/databases.js';
import type { ReadingPool } from '../../connect/reading-pool.js';
import type { Checkpoint } from '../../domain/receipt.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { composeVersion, type Version } from '../../domain/version.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { advanceStage } from '../../ledger/stages.js';
import type { Log } from '../../observe/log.js';
import type { Meters } from '../../observe/meters.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import { LagClock } from '../../pipeline/lag-clock.js';
import type { StageContext } from '../../pipeline/stage.js';
import { verifyUnchanged } from '../catalog/verify-unchanged.js';
import { ensureFlushed } from '../flush.js';
import type { OutboxWatch } from '../outbox/watch.js';
import { BatchSize, type BatchLimits } from './batch-size.js';
import { findIds, requireNoneAbove, type FoundIds } from './find-ids.js';
import { GapJournal } from './gap-journal.js';
import { glance } from './glance.js';
import { countIds, readRuns, subtractRuns, toRanges, type IdRun } from './id-runs.js';
import type { Listener } from './listener.js';
import { pollSpecOf, type PollSpec } from './poll-table.js';
import type { PollBatch, PollPosition, PollRow } from './position.js';
import { readLast, requireAhead, requireOrderly } from './sequence.js';
import { settleWriters } from './settle-writers.js';
import type { Waker } from './waker.js';

/** An idle slice reports at least this often. */
const WAIT_MS = 1_000;
/** The cursor of a table that nothing was read of: 0 is an id too. */
const BEFORE_ALL = -1n;

/** What a poll needs of the worker. */
export interface PollServices extends Databases {
  readonly source: Pool;
  readonly reading: ReadingPool;
  readonly watch: OutboxWatch;
  readonly listener: Listener;
  readonly log: Log;
  readonly meters: Meters;
}

/** What the rows of a named batch become. `floor`: rows at or below it belong to an older generation. */
export type ReadContent<Content> = (
  table: ReplicatedTable,
  batch: PollBatch,
  floor: Version | undefined,
  options: ReadOptions,
) => Content;

export interface PollOptions<Content> {
  readonly read: ReadContent<Content>;
  readonly waker: Waker;
  readonly limits: BatchLimits;
  /** For a test that shows what they are for: without either, rows are lost. */
  readonly guards?: PollGuards | undefined;
}

export interface PollGuards {
  /** Waits for the writers of the table before its rows are read up to a bound. Default true. */
  readonly settles?: boolean;
  /** Asks again for ids that had no row. Default true. */
  readonly keepsGaps?: boolean;
}

/**
 * The rows of a table that only grows, in the order of a number that a sequence gives them.
 *
 * A round: read the sequence's last value L; wait for the transactions that hold a writing lock on the table at that moment; name
 * the ids up to L that are there. A transaction that draws an id later draws a higher one. One that drew an id at or below L held
 * the lock, and has ended; or had not touched the table yet, and then its id is a gap, which is asked for again (`GapJournal`).
 *
 * A name lists ids that were there and on disk, so a retry reads the same rows. The gaps between them follow from name and position,
 * so only these two are in the ledger. Between two batches the cursor may be ahead of it in memory: a restart looks again.
 */
export class PollSource<Content> implements BatchSource<PollBatch, Content> {
  readonly isFinished = false;
  readonly pending: PollBatch | undefined;
  readonly #services: PollServices;
  readonly #stage: StageContext<PollRow>;
  readonly #options: PollOptions<Content>;
  readonly #spec: PollSpec;
  readonly #title: string;
  readonly #lag = new LagClock();
  readonly #size: BatchSize;
  readonly #gaps: GapJournal;
  #table: ReplicatedTable;
  #batch: number;
  /** Every id up to here is in a batch that was confirmed, in the gaps, or given up. */
  #cursor: bigint;
  #highest: bigint;
  /** Writers that could bring an id at or below it, other than one of the gaps, have ended. */
  #settled: bigint;
  /** Of the sequence, as last seen. */
  #last: bigint;
  #first: bigint | undefined;
  /** The clock of PostgreSQL less ours. */
  #clockMs = 0;

  constructor(services: PollServices, stage: StageContext<PollRow>, options: PollOptions<Content>) {
    const { table, row } = stage;
    const { cursor, highest = '0', gaps, givenUp } = row.position;
    this.#services = services;
    this.#stage = stage;
    this.#options = options;
    this.#table = table;
    this.#spec = pollSpecOf(table);
    this.#title = formatTableName(table.name);
    this.#size = new BatchSize(options.limits);
    this.#gaps = new GapJournal(gaps, givenUp);
    this.#batch = row.batch;
    this.#cursor = cursor === undefined ? BEFORE_ALL : BigInt(cursor);
    this.#highest = BigInt(highest);
    this.#settled = this.#cursor;
    this.#last = this.#cursor;
    this.pending = row.pending ?? undefined;
  }

  /** @throws Failure `SourceChanged`, `SourceSetBack`, `LedgerSetBack`, `UnsuitableTable`, `Unauthorized`, `MissingTable` */
  async verify(): Promise<void> {
    const { source } = this.#services;
    const { checkpoint } = this.#stage.request;
    this.#table = { ...this.#table, fingerprint: await verifyUnchanged(this.#services, this.#table) };
    if (checkpoint !== null && this.#batch < checkpoint.batch)
      throw new Failure('LedgerSetBack', {
        message: `The ledger says that batch ${this.#batch} of ${this.#title} is the last one; batch ${checkpoint.batch} was confirmed before.`,
      });
    try {
      await requireOrderly(source, this.#spec.sequence.oid);
      await this.#look(BigInt(checkpoint?.highest ?? 0));
      await requireNoneAbove(source, this.#table);
    } catch (error) {
      throw classifyPostgres(error, `looking at the ids of ${this.#title}`);
    }
  }

  async nameNext({ signal, onProgress }: ReadOptions): Promise<PollBatch | undefined> {
    if (!(await this.#mayHaveRows(signal))) return undefined;
    const name = await this.#next(async () => {
      if (!this.#isQuick) await this.#look();
      return this.#last <= this.#cursor || this.#settle(signal, onProgress);
    });
    if (name !== undefined) await advanceStage(this.#services.ledger, this.#stage.claim, null, name);
    return name;
  }

  read(name: PollBatch, options: ReadOptions): Content {
    const { generation, batch } = name;
    const floor = batch === 1 && generation > 1 ? composeVersion(generation, 0n) : undefined;
    return this.#options.read(this.#table, name, floor, options);
  }

  async confirm(
    name: PollBatch,
    { rows, bytes, proof }: Written,
    { nameNext }: { readonly nameNext: boolean },
  ): Promise<PollBatch | undefined> {
    const runs = readRuns(name.ids);
    this.#pass(runs, BigInt(name.upTo), name.at);
    const last = runs.at(-1)?.last ?? 0n;
    this.#first ??= runs[0]?.first;
    // With a filter it is not sure that the last one came.
    const isWhole = this.#table.where === undefined || BigInt(rows) >= countIds(runs);
    if (isWhole && last > this.#highest) this.#highest = last;
    this.#batch = name.batch;
    this.#size.observe(rows, bytes);
    const confirmed = { batch: name.batch, position: this.#position(), proof, rows, bytes };
    // What follows may be found in vain: this batch is confirmed in any case.
    const next = nameNext ? await this.#next(() => Promise.resolve(false)).catch(() => undefined) : undefined;
    await advanceStage(this.#services.ledger, this.#stage.claim, confirmed, next ?? null);
    return next;
  }

  state(): SourceState {
    return {
      moved: this.#first === undefined ? '' : `id ${this.#first}..${this.#highest}`,
      waiting: Math.max(0, Number(this.#last - this.#cursor)),
      lagSeconds: this.#lag.seconds(this.#cursor, Date.now()),
      checkpoint: this.#checkpoint(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.waker[Symbol.asyncDispose]();
  }

  /** The highest id that was loaded: that is what ClickHouse can be asked for, and not a cursor beyond ids that were rolled back. */
  #checkpoint(): Checkpoint {
    return { batch: this.#batch, highest: String(this.#highest) };
  }

  #position(): PollPosition {
    return {
      cursor: String(this.#cursor),
      highest: String(this.#highest),
      gaps: this.#gaps.ranges(),
      givenUp: this.#gaps.givenUp,
    };
  }

  #now(): number {
    return Date.now() + this.#clockMs;
  }

  /** Nothing of an older generation may show, also where the table has no rows yet. */
  get #needsFloor(): boolean {
    return this.#batch === 0 && this.#table.generation > 1;
  }

  async #mayHaveRows(signal: AbortSignal): Promise<boolean> {
    const isKnown = this.#cursor < this.#settled || this.#cursor < this.#last;
    if (isKnown || this.#needsFloor) return !signal.aborted;
    const gapMs = this.#gaps.nextDueMs(this.#now()) ?? WAIT_MS + 1;
    const timeoutMs = Math.min(WAIT_MS, gapMs);
    const isTime = timeoutMs === 0 || (await this.#options.waker.wait(this.#last, { signal, timeoutMs }));
    return !signal.aborted && (isTime || gapMs <= WAIT_MS);
  }

  /** @param read ids up to here were read, as others know. @throws Failure `SourceSetBack`, `Unauthorized` */
  async #look(read = 0n): Promise<void> {
    const { sequence } = this.#spec;
    const { last, nowMs } = await readLast(this.#services.source, sequence);
    requireAhead(last, read, sequence);
    this.#seen(last, nowMs);
  }

  /** @throws Failure `SourceSetBack` */
  #seen(last: bigint, nowMs: number): void {
    const read = this.#cursor > this.#highest ? this.#cursor : this.#highest;
    requireAhead(last, read, this.#spec.sequence);
    this.#last = last;
    this.#clockMs = nowMs - Date.now();
    this.#lag.observe(last, Date.now());
  }

  /** @returns false where the slice has to end */
  async #settle(signal: AbortSignal, onProgress: ReadOptions['onProgress']): Promise<boolean> {
    if (this.#options.guards?.settles !== false) {
      const isSettled = await settleWriters(this.#services, this.#table, { upTo: this.#last, signal, onProgress });
      if (!isSettled) return false;
    }
    this.#settled = this.#last;
    return true;
  }

  /** Nothing is known that a round of one message could not find out. */
  get #isQuick(): boolean {
    const { settles = true } = this.#options.guards ?? {};
    return settles && !this.#needsFloor && this.#gaps.due(this.#now()).length === 0;
  }

  /** @param settle called where somebody writes, or a quick round does not do; @returns whether to go on */
  async #next(settle: () => Promise<boolean>): Promise<PollBatch | undefined> {
    if (this.#cursor < this.#settled) return this.#find();
    if (!this.#isQuick) return (await settle()) ? this.#find() : undefined;
    const { last, nowMs, isHeld, found } = await this.#onConnection((pg) =>
      glance(pg, this.#table, { after: this.#cursor, rows: this.#size.rows }),
    );
    this.#seen(last, nowMs);
    if (last <= this.#cursor) return undefined;
    if (isHeld) return (await settle()) ? this.#find() : undefined;
    this.#settled = last;
    return found === undefined ? this.#find() : this.#nameOf(found, this.#now());
  }

  /** @returns undefined where nothing is there; then the cursor has moved on */
  async #find(): Promise<PollBatch | undefined> {
    const now = this.#now();
    const gaps = this.#gaps.due(now);
    if (gaps.length === 0 && this.#cursor >= this.#settled && !this.#needsFloor) return undefined;
    const wanted = { after: this.#cursor, upTo: this.#settled, gaps, rows: this.#size.rows };
    const found = await this.#onConnection((pg) => findIds(pg, this.#table, wanted));
    this.#gaps.asked(now);
    return this.#nameOf(found, now);
  }

  async #nameOf(found: FoundIds, now: number): Promise<PollBatch | undefined> {
    if (!found.isFlushed) await ensureFlushed(this.#services.source);
    const { generation, shape } = this.#table;
    if (found.ids.length + found.gaps.length > 0 || this.#needsFloor) {
      const ids = toRanges([...found.gaps, ...found.ids]);
      return { batch: this.#batch + 1, generation, shape, ids, upTo: String(found.upTo), at: Math.floor(now) };
    }
    this.#pass([], found.upTo, now);
    return undefined;
  }

  async #onConnection<T>(look: (pg: ClientBase) => Promise<T>): Promise<T> {
    await using lease = await this.#services.reading.lease({ signal: this.#stage.slice.signal });
    try {
      const found = await look(lease.client);
      lease.keep();
      return found;
    } catch (error) {
      throw classifyPostgres(error, `looking for new rows of ${this.#title}`);
    }
  }

  /** The cursor goes up to `upTo`, and all ids below it are known but `runs`: those that are missing become gaps. */
  #pass(runs: readonly IdRun[], upTo: bigint, at: number): void {
    if (this.#options.guards?.keepsGaps !== false) {
      this.#gaps.found(runs);
      const above = runs.filter(({ last }) => last > this.#cursor);
      // A sequence begins at 1: before it there is no gap.
      const passed = { first: this.#cursor < 0n ? 1n : this.#cursor + 1n, last: upTo };
      if (passed.last >= passed.first) this.#gaps.add(subtractRuns([passed], above), at);
    }
    if (upTo > this.#cursor) this.#cursor = upTo;
    if (this.#settled < this.#cursor) this.#settled = this.#cursor;
    const { old, many } = this.#gaps.giveUp(this.#now());
    const { log } = this.#services;
    const table = this.#title;
    if (many > 0n)
      log.warn({ table, ids: String(many) }, 'ids without a row are not asked for any more: there are too many');
    if (old > 0n) log.info({ table, ids: String(old) }, 'ids without a row for an hour are not asked for any more');
  }
}
