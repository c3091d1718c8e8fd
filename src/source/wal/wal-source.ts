import type { OutboxBatch } from '../../domain/batch.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import { OutboxSource, type OutboxServices } from '../outbox/outbox-source.js';
import type { OutboxReader } from '../outbox/reader.js';
import type { OutboxRow } from '../outbox/steps.js';
import type { Lsn } from './lsn.js';
import { slotOf } from './names.js';
import type { WalReader, WalReaders } from './reader.js';
import type { KnownUntil, RowOffer } from './rows/hand-over.js';
import { RowTaker } from './rows/row-taker.js';
import { requireAttached, verifyWal } from './verify.js';
import { readWalEnd } from './wal-end.js';

/** An idle server answers within 50 ms. */
const CATCH_UP_MS = 200;

/** What a table that is captured from the WAL needs of the worker. */
export interface WalServices extends OutboxServices {
  readonly wal: WalReaders;
}

/** How batches are read: by the keys in the outbox, and of rows that are in memory. */
export interface WalReading<Content> {
  readonly byKey: OutboxReader<Content>;
  /** Called again for the same rows if writing them failed. Absent: they are not taken, all go by key. */
  readonly ofRows?: (offer: RowOffer) => Content;
}

/**
 * The changes of a table whose outbox is filled from the WAL. As long as it is open, this worker reads the slot, or stands by while another
 * one does. Where it is this one, whole rows come from its memory, and only what they do not say comes through the outbox.
 */
export class WalSource<Content> implements BatchSource<OutboxBatch, Content> {
  readonly isFinished = false;
  readonly #services: WalServices;
  readonly #stage: StageContext<OutboxRow>;
  readonly #outbox: OutboxSource<Content>;
  readonly #reader: WalReader;
  readonly #ofRows: WalReading<Content>['ofRows'];
  readonly #taker: RowTaker;
  #hold: Disposable | undefined;
  #inHand: { readonly name: OutboxBatch; readonly offer: RowOffer } | undefined;
  /** Of the WAL at the last verification. */
  #end: Lsn = 0n;
  /** Changes before it may not have been in the outbox when that was looked at last: the slice is not idle. */
  #isBehind = false;

  constructor(services: WalServices, stage: StageContext<OutboxRow>, { byKey, ofRows }: WalReading<Content>) {
    this.#services = services;
    this.#stage = stage;
    this.#outbox = new OutboxSource(services, stage, byKey, { hasTriggers: false });
    this.#reader = services.wal.of(slotOf(stage.table));
    this.#ofRows = ofRows;
    this.#taker = new RowTaker(services.source, stage.table, this.#reader.handOvers);
  }

  get pending(): OutboxBatch | undefined {
    return this.#outbox.pending;
  }

  /** @throws Failure as `OutboxSource`; `SourceChanged` where changes may be missing; what keeps the reader from reading */
  async verify(): Promise<void> {
    const known = { until: await this.#readEnd(), relation: this.#taker.described };
    const isFirst = this.#hold === undefined;
    if (isFirst) await this.#verifyTable(known);
    this.#hold ??= this.#reader.hold();
    this.#end = known.until;
    this.#isBehind = await this.#reader.isStillBefore(this.#end, CATCH_UP_MS);
    // After that: it reads how many events the outbox has.
    if (isFirst) await this.#outbox.verify();
    else await this.#verifyTable(known);
    await this.#reader.requireReading();
  }

  async nameNext(options: ReadOptions): Promise<OutboxBatch | undefined> {
    if (this.#isBehind && !this.#reader.isBefore(this.#end)) {
      await this.#outbox.verify();
      this.#isBehind = false;
    }
    const offer = this.#taker.take();
    if (offer !== undefined) return this.#nameRows(offer);
    if (this.#isStale()) await this.verify();
    using woken = this.#taker.untilOffer(options.signal);
    const name = await this.#outbox.nameNext({ ...options, signal: woken.signal });
    const came = name === undefined ? this.#taker.take() : undefined;
    return came === undefined ? name : this.#nameRows(came);
  }

  read(name: OutboxBatch, options: ReadOptions): Promise<Content> | Content {
    const inHand = this.#inHand;
    if (inHand?.name !== name || this.#ofRows === undefined) return this.#outbox.read(name, options);
    return this.#ofRows(inHand.offer);
  }

  async confirm(
    name: OutboxBatch,
    written: Written,
    options: { readonly nameNext: boolean },
  ): Promise<OutboxBatch | undefined> {
    // Rows that wait come before keys, and so does the look at a table whose rows are not taken.
    const isTurn = !this.#taker.isWaitedFor && !this.#isStale();
    const next = await this.#outbox.confirm(name, written, { nameNext: options.nameNext && isTurn });
    if (this.#inHand?.name === name) {
      this.#inHand = undefined;
      this.#taker.confirm();
    }
    return next;
  }

  state(): SourceState {
    const state = this.#outbox.state();
    return this.#isBehind && state.waiting === 0 ? { ...state, waiting: 1 } : state;
  }

  allocated(): Promise<string> {
    return this.#outbox.allocated();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#taker[Symbol.dispose]();
    this.#hold?.[Symbol.dispose]();
    await this.#outbox[Symbol.asyncDispose]();
  }

  /** @param known before the call */
  async #verifyTable(known: KnownUntil): Promise<void> {
    // Before its outbox: that may have been emptied since.
    await requireAttached(this.#services.source, this.#stage.table);
    await this.#outbox.verify();
    const { source, wal } = this.#services;
    await verifyWal({ source, slots: wal.slots }, this.#stage.table);
    if (this.#ofRows !== undefined) await this.#taker.attach(known);
  }

  #isStale(): boolean {
    return this.#ofRows !== undefined && this.#taker.isStale();
  }

  async #nameRows(offer: RowOffer): Promise<OutboxBatch> {
    const { generation, shape } = offer.batch.plan;
    const [first, last] = [String(offer.first), String(offer.last)];
    const name = await this.#outbox.nameRows({ generation, shape, first, last });
    this.#inHand = { name, offer };
    return name;
  }

  async #readEnd(): Promise<Lsn> {
    try {
      return await readWalEnd(this.#services.source);
    } catch (error) {
      throw classifyPostgres(error, 'looking at the end of the WAL');
    }
  }
}
