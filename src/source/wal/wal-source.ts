import type { OutboxBatch } from '../../domain/batch.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import type { StageContext } from '../../pipeline/stage.js';
import { OutboxSource, type OutboxServices } from '../outbox/outbox-source.js';
import type { OutboxReader } from '../outbox/reader.js';
import type { OutboxRow } from '../outbox/steps.js';
import { parseLsn, type Lsn } from './lsn.js';
import { slotOf } from './names.js';
import type { WalReader, WalReaders } from './reader.js';
import { verifyWal } from './verify.js';

/** An idle server answers within 50 ms. */
const CATCH_UP_MS = 200;

/** What a table that is captured from the WAL needs of the worker. */
export interface WalServices extends OutboxServices {
  readonly wal: WalReaders;
}

/**
 * The changes of a table whose outbox is filled from the WAL. As long as it is open, this worker reads the slot, or stands by while another
 * one does.
 */
export class WalSource<Content> implements BatchSource<OutboxBatch, Content> {
  readonly isFinished = false;
  readonly #services: WalServices;
  readonly #stage: StageContext<OutboxRow>;
  readonly #outbox: OutboxSource<Content>;
  readonly #reader: WalReader;
  #hold: Disposable | undefined;
  /** Of the WAL at the last verification. */
  #end: Lsn = 0n;
  /** Changes before it may not have been in the outbox when that was looked at last: the slice is not idle. */
  #isBehind = false;

  constructor(services: WalServices, stage: StageContext<OutboxRow>, reader: OutboxReader<Content>) {
    this.#services = services;
    this.#stage = stage;
    this.#outbox = new OutboxSource(services, stage, reader, { hasTriggers: false });
    this.#reader = services.wal.of(slotOf(stage.table));
  }

  get pending(): OutboxBatch | undefined {
    return this.#outbox.pending;
  }

  /** @throws Failure as `OutboxSource`; `SourceChanged` where changes may be missing; what keeps the reader from reading */
  async verify(): Promise<void> {
    this.#hold ??= this.#reader.hold();
    this.#end = await this.#readEnd();
    this.#isBehind = await this.#reader.isStillBefore(this.#end, CATCH_UP_MS);
    // After that: it reads how many events the outbox has.
    await this.#outbox.verify();
    await verifyWal(this.#services.source, this.#stage.table);
    this.#reader.requireReading();
  }

  async nameNext(options: ReadOptions): Promise<OutboxBatch | undefined> {
    if (this.#isBehind && !this.#reader.isBefore(this.#end)) {
      await this.#outbox.verify();
      this.#isBehind = false;
    }
    return this.#outbox.nameNext(options);
  }

  read(name: OutboxBatch, options: ReadOptions): Promise<Content> | Content {
    return this.#outbox.read(name, options);
  }

  confirm(
    name: OutboxBatch,
    written: Written,
    options: { readonly nameNext: boolean },
  ): Promise<OutboxBatch | undefined> {
    return this.#outbox.confirm(name, written, options);
  }

  state(): SourceState {
    const state = this.#outbox.state();
    return this.#isBehind && state.waiting === 0 ? { ...state, waiting: 1 } : state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hold?.[Symbol.dispose]();
    await this.#outbox[Symbol.asyncDispose]();
  }

  async #readEnd(): Promise<Lsn> {
    try {
      const found = await this.#services.source.query<{ lsn: string }>(
        /* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as lsn`,
      );
      return parseLsn(found.rows[0]?.lsn ?? '0/0');
    } catch (error) {
      throw classifyPostgres(error, 'looking at the end of the WAL');
    }
  }
}
