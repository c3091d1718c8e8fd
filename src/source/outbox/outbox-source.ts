import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { Databases } from '../../connect/databases.js';
import type { Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import type { Checkpoint } from '../../domain/receipt.js';
import { isTree, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { awaitsCopy, orderCopies } from '../../ledger/copy-again.js';
import { forgetStreamed, nameStreamed } from '../../ledger/outbox.js';
import { saveFingerprint } from '../../ledger/tables.js';
import type { BatchSource, ReadOptions, SourceState, Written } from '../../pipeline/batch.js';
import { LagClock } from '../../pipeline/lag-clock.js';
import { PollBackoff } from '../../pipeline/poll-backoff.js';
import type { StageContext } from '../../pipeline/stage.js';
import { verifyUnchanged } from '../catalog/verify-unchanged.js';
import { adoptPartitions } from './adopt-partitions.js';
import type { OutboxReader, ReadingServices } from './reader.js';
import { refreshCapture } from './refresh.js';
import type { MovedBatch, OpenOutboxSteps, OutboxRow, OutboxSteps } from './steps.js';
import { readOutboxSequence, type OutboxSequence } from './sequence.js';
import { captureFormOf } from './capture-form.js';
import type { OutboxWatch } from './watch.js';
import { LookPace } from './look-pace.js';
import { OutboxWatermark } from './watermark.js';

/** Events in the first batch of a slice; later ones follow the measured size of a row. */
const FIRST_LIMIT = 1_000;
/** A batch is read again whole after a failure, and its name costs one synchronous commit (1 to 5 ms). */
const MAX_EVENTS = 20_000;
const BATCH_BYTES = 8_000_000;
/** An idle slice reports at least this often. */
const WAIT_MS = 1_000;
/** Between two polls for an event that is allocated and cannot be seen: its transaction is open, or was rolled back. */
const BACKOFF = { shortestMs: 5, longestMs: 250, growth: 1.5 };
/** A poll for new events walks over all that cannot be seen, so a slow one is followed by a pause of so many times its length. */
const REST_TO_POLL = 4;
const LONGEST_REST_MS = 10_000;

/** What an outbox source needs of the worker. */
export interface OutboxServices extends ReadingServices, Pick<Databases, 'ledger'> {
  /** The ledger as a transaction of the source sees it: that transaction where both are one database. */
  ledgerWithin(transaction: Queryable): Queryable;
  readonly watch: OutboxWatch;
  /** By where the ledger lies. */
  readonly openSteps: OpenOutboxSteps;
}

/**
 * The changes of a table, as its outbox has them: keys, joined to the rows as they are when a batch is read. A retry may read
 * newer rows under the same versions; what made them newer is in a later batch.
 */
export class OutboxSource<Content> implements BatchSource<OutboxBatch, Content> {
  readonly pending: OutboxBatch | undefined;
  readonly #services: OutboxServices;
  readonly #stage: StageContext<OutboxRow>;
  readonly #steps: OutboxSteps;
  readonly #reader: OutboxReader<Content>;
  readonly #lag = new LagClock();
  readonly #backoff = new PollBackoff(BACKOFF);
  #table: ReplicatedTable;
  #isRenewed: boolean;
  /** False while the ledger names a batch whose rows were in the memory of an earlier attempt. */
  #hasForgotten: boolean;
  /** The ledger awaits a copy of the table, of which the workflow may not know. */
  #copyAgain = false;
  /** It was ordered here: the slice ends, so that the workflow hears of it. */
  #isOrdered = false;
  #sequence: OutboxSequence | undefined;
  readonly #watermark: OutboxWatermark;
  #checkpoint: Checkpoint;
  /** Everything up to this `seq` is confirmed, or will never exist. */
  #done: bigint;
  #first = '';
  #limit = FIRST_LIMIT;
  /** How long the last poll for new events took PostgreSQL. */
  #pollMs = 0;
  /** Absent where no trigger fills the outbox: nobody is late there. */
  readonly #pace: LookPace | undefined;
  #lowWater: bigint;

  /** @param options `hasTriggers`: false where something else fills the outbox. Default true */
  constructor(
    services: OutboxServices,
    stage: StageContext<OutboxRow>,
    reader: OutboxReader<Content>,
    { hasTriggers = true }: { readonly hasTriggers?: boolean } = {},
  ) {
    this.#isRenewed = !hasTriggers;
    this.#pace = hasTriggers ? new LookPace() : undefined;
    this.#reader = reader;
    const { row } = stage;
    this.#services = services;
    this.#stage = stage;
    this.#steps = services.openSteps(services, stage);
    this.#table = stage.table;
    this.#hasForgotten = row.pending?.streamed !== true;
    this.pending = this.#hasForgotten ? (row.pending ?? undefined) : undefined;
    const last = row.position.last ?? '0';
    // A batch of late commits ends below the one before it.
    this.#checkpoint = { batch: row.batch, highest: later(last, stage.request.checkpoint?.highest ?? '0') };
    this.#done = BigInt(last) > BigInt(row.lowWater) ? BigInt(last) : BigInt(row.lowWater);
    this.#watermark = new OutboxWatermark(row.lowWater, row.lowWater);
    this.#lowWater = BigInt(row.lowWater);
  }

  get isFinished(): boolean {
    return this.#isOrdered;
  }

  /** @throws Failure `SourceChanged`, `MissingTable`, `LedgerSetBack`, `SourceSetBack`; those of `OutboxSteps.verify` */
  async verify(): Promise<void> {
    const { source } = this.#services;
    const { batch } = this.#checkpoint;
    const { checkpoint } = this.#stage.request;
    if (!this.#hasForgotten) await forgetStreamed(this.#services.ledger, this.#stage.claim);
    this.#hasForgotten = true;
    if (!this.#isRenewed) await this.#renew();
    if (isTree(this.#table)) await this.#adopt();
    this.#table = { ...this.#table, fingerprint: await verifyUnchanged(this.#services, this.#table) };
    if (checkpoint !== null && batch < checkpoint.batch)
      throw new Failure('LedgerSetBack', {
        message: `The ledger says that batch ${batch} of ${formatTableName(this.#table.name)} is the last published; batch ${checkpoint.batch} was confirmed before.`,
        remedy: copyAgainRemedy(this.#table, { dropTarget: false }),
      });
    this.#sequence = await readOutboxSequence(source, this.#table.id);
    this.#watermark.advance(this.#sequence.last, '0');
    this.#verifyAllocated(this.#sequence.last);
    await this.#steps.verify();
  }

  async nameNext({ signal }: ReadOptions): Promise<OutboxBatch | undefined> {
    if (!(await this.#mayHaveEvents(signal))) return undefined;
    const name = await this.#advance(null, true);
    if (name !== undefined) this.#backoff.reset();
    return name;
  }

  /** Names rows that are in memory. @param rows with what they were made for. @throws Failure `Fenced` */
  nameRows(rows: Pick<OutboxBatch, 'generation' | 'shape' | 'first' | 'last'>): Promise<OutboxBatch> {
    return nameStreamed(this.#services.ledger, this.#stage.claim, { batch: this.#checkpoint.batch + 1, ...rows });
  }

  read(name: OutboxBatch, options: ReadOptions): Promise<Content> | Content {
    return this.#reader.read(this.#table, name, options);
  }

  async confirm(
    name: OutboxBatch,
    { rows, bytes, proof }: Written,
    { nameNext }: { readonly nameNext: boolean },
  ): Promise<OutboxBatch | undefined> {
    const isStreamed = name.streamed === true;
    const events = isStreamed ? 0 : this.#reader.events();
    this.#watermark.confirmed(name, isStreamed ? Number(BigInt(name.last) - BigInt(name.first)) + 1 : events);
    const next = await this.#advance({ name, events, rows, bytes, proof }, nameNext);
    this.#checkpoint = { batch: name.batch, highest: later(this.#checkpoint.highest, name.last) };
    this.#first ||= name.first;
    if (BigInt(name.last) > this.#done) this.#done = BigInt(name.last);
    const rowBytes = Math.max(1, bytes / Math.max(1, rows));
    this.#limit = Math.min(MAX_EVENTS, Math.max(1, Math.floor(BATCH_BYTES / rowBytes)));
    return next;
  }

  state(): SourceState {
    return {
      moved: this.#first === '' ? '' : `seq ${this.#first}..${this.#checkpoint.highest}`,
      waiting: Math.max(0, Number(this.#watermark.allocated - this.#done)),
      lagSeconds: this.#lag.seconds(this.#done, Date.now()),
      checkpoint: this.#checkpoint,
      ...(this.#copyAgain ? { copyAgain: true } : {}),
    };
  }

  /** Events and copies take their positions from the sequence. */
  async allocated(): Promise<string> {
    return (await readOutboxSequence(this.#services.source, this.#table.id)).last;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Brings the trigger functions to this version, before the source is compared with its fingerprint. */
  async #renew(): Promise<void> {
    await this.#mend((client, save) => {
      const table = { ...this.#table, ...captureFormOf(this.#table) };
      return refreshCapture(client, table, (text) => save(text, client));
    });
    this.#isRenewed = true;
  }

  /** Takes in the partitions that came since, before the source is compared with its fingerprint. */
  async #adopt(): Promise<void> {
    const { slice, stage } = this.#stage;
    const { signal } = slice;
    const { ledger } = this.#services;
    const { id } = this.#table;
    const report = (moved: string): void =>
      slice.progress({ stage, rows: 0, batches: 0, moved, waiting: 1, lagSeconds: 0 });
    const order = async (fingerprint: string): Promise<void> => {
      await orderCopies(ledger, id, fingerprint);
      this.#isOrdered = true;
    };
    await this.#mend((client, save) => adoptPartitions(client, this.#table, { signal, report, save, order }));
    this.#copyAgain = await awaitsCopy(ledger, id);
  }

  /** @param work on a connection of its own; it returns the table's fingerprint, which it has saved if it is another one */
  async #mend(
    work: (client: PoolClient, save: (fingerprint: string, within?: PoolClient) => Promise<void>) => Promise<string>,
  ): Promise<void> {
    const services = this.#services;
    const client = await services.source.connect().catch((error: unknown) => {
      throw classifyPostgres(error, 'connecting');
    });
    let isClean = false;
    try {
      const fingerprint = await work(client, (text, within) =>
        saveFingerprint(within === undefined ? services.ledger : services.ledgerWithin(within), this.#table.id, text),
      );
      this.#table = { ...this.#table, fingerprint };
      isClean = true;
    } finally {
      // One in the middle of a transaction is of no use to the next borrower.
      client.release(!isClean);
    }
  }

  async #advance(moved: MovedBatch | null, nameNext: boolean): Promise<OutboxBatch | undefined> {
    const { highest } = this.#checkpoint;
    const last = BigInt(moved === null ? highest : later(highest, moved.name.last));
    const part = (nameNext ? this.#pace?.part(this.#lowWater, last, Date.now()) : undefined) ?? {};
    const advanced = await this.#steps.advance(moved, nameNext ? this.#limit : 0, part);
    const { next, tookMs, lowWater, lastAllocated = highest } = advanced;
    this.#verifyAllocated(lastAllocated, lowWater);
    this.#lowWater = BigInt(lowWater);
    this.#watermark.advance(lastAllocated, lowWater);
    if (nameNext) {
      const found = next && { first: BigInt(next.first), last: BigInt(next.last) };
      this.#pace?.looked(part, found, { last, tookMs, nowMs: Date.now() });
      // A step through what is dead says nothing of what is new.
      if (next === undefined && part.upTo === undefined) this.#done = this.#watermark.allocated;
      if (moved === null && (this.#pace === undefined || part.after === last)) this.#pollMs = tookMs;
    }
    this.#lag.observe(this.#watermark.allocated, Date.now());
    return next;
  }

  /**
   * Also in the middle of a slice: the positions of an outbox that counts anew would soon be as high as those before.
   * @throws Failure `SourceSetBack`
   */
  #verifyAllocated(last: string, lowWater = '0'): void {
    const done = later(this.#checkpoint.highest, lowWater);
    if (BigInt(last) >= BigInt(done)) return;
    throw new Failure('SourceSetBack', {
      message: `The outbox of ${formatTableName(this.#table.name)} stands at ${last}; ${done} was published before.`,
      remedy: copyAgainRemedy(this.#table, { dropTarget: false }),
    });
  }

  /** Waits until the outbox may show something new. */
  async #mayHaveEvents(signal: AbortSignal): Promise<boolean> {
    if (this.#watermark.isCaughtUp && this.#sequence !== undefined) {
      this.#backoff.reset();
      const watched = { sequence: this.#sequence.oid, seen: String(this.#watermark.allocated) };
      return this.#services.watch.wait(watched, { signal, timeoutMs: WAIT_MS });
    }
    const restMs = Math.min(Math.max(this.#backoff.nextMs(), this.#pollMs * REST_TO_POLL), LONGEST_REST_MS);
    await sleep(restMs, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }
}

/** Decimal. */
function later(a: string, b: string): string {
  return BigInt(a) > BigInt(b) ? a : b;
}
