import type { PostgresClient } from '../../connect/postgres.js';
import type { Queryable } from '../../connect/queryable.js';
import type { MessageSink } from '../../domain/logical-message.js';
import { Failure } from '../../failure/failure.js';
import { ChangeCollector, type KnownRelation } from './change-collector.js';
import { giveRows } from './give-rows.js';
import { LogRelations } from './log/log-relations.js';
import type { Lsn } from './lsn.js';
import { PgOutput, type Relation } from './pgoutput.js';
import { placesOfKey } from './relations.js';
import type { HandOvers } from './rows/hand-overs.js';
import type { ReplicationStream, StreamReceiver } from './replication-stream.js';
import type { SlotPlaces } from './slot-server.js';
import { claimReader, readReader, readTable } from './state.js';
import { readWholeSlot } from './verify.js';
import { sendMessages } from './send-messages.js';
import { note, writeKeys, type KeyWriter } from './write-keys.js';

/** Keys of some 100,000 rows: one text is written while the next one fills. */
const MOST_BYTES = 1024 * 1024;
/** An idle slot is moved on when it keeps so much WAL of others. Less is not worth a commit, which itself is WAL. */
const IDLE_BYTES = 1_048_576n;
/** Rows that stages have confirmed come again after a crash, until their position is noted. It costs a commit. */
const NOTE_EVERY_MS = 500;

export interface ReadingOptions {
  readonly slot: string;
  /** Statements that stand alone. */
  readonly source: Queryable;
  /** The server that has the slot: `source`, or a standby. */
  readonly slots: Queryable;
  readonly connect: (name: string, options?: { readonly replication: boolean }) => Promise<PostgresClient>;
  /** Ends the reading in order. */
  readonly signal: AbortSignal;
  /** Called when the slot is ours. */
  readonly onStarted: () => void;
  /** All that was committed before it is in the outboxes. */
  readonly onReached: (position: Lsn) => void;
  /** Whether somebody waits for a position. */
  readonly isWanted: () => boolean;
  /** Stages that take whole rows. */
  readonly handOvers: HandOvers;
  /** What the tables behind the slot may take on the disk of PostgreSQL: see `judge`. */
  readonly budgetBytes?: number | undefined;
  /** Absent: they are not sent on. */
  readonly messages?: MessagesOptions;
  /** Called after each attempt to send logical messages. */
  readonly onSent?: (error?: unknown) => void;
}

/** Where logical messages go. */
export interface MessagesOptions {
  /** Null: nowhere. Undefined: where they went before. */
  readonly topic: string | null | undefined;
  /** @throws Failure where it is not there, and cannot be made */
  readonly open: (topic: string) => Promise<MessageSink>;
}

/** One connection's worth of a slot. */
export class Reading implements StreamReceiver {
  readonly #options: ReadingOptions;
  readonly #writing: PostgresClient;
  /** As the connection sees them that writes. */
  readonly #places: SlotPlaces;
  readonly #messages: MessageSink | undefined;
  #stream: ReplicationStream | undefined;
  #collector: ChangeCollector | undefined;
  #output: PgOutput | undefined;
  #writer: KeyWriter | undefined;
  #logs: LogRelations | undefined;
  #claimed: Promise<void> | undefined;
  /** What may be acknowledged, and what is noted with the outboxes: see `acknowledgeReplayed`. */
  #safe: Lsn = 0n;
  #noted: Lsn = 0n;
  /** All before it was confirmed by stages, which PostgreSQL does not know yet. */
  #unnoted: Lsn | undefined;
  #notedAt = 0; // Date.now()
  #write: Promise<void> | undefined;
  /** What the stream waits for while one batch is written and the next one is full. */
  #room: { readonly made: Promise<void>; readonly make: () => void } | undefined;
  /** When PostgreSQL showed that it is there, `Date.now()`. */
  #heardAt = Date.now();
  #reject: (error: unknown) => void = () => undefined;
  /** What was taken and not written is gone with this connection: nothing behind it may be written or noted. */
  #hasFailed = false;
  readonly failed: Promise<never>;

  constructor(options: ReadingOptions, writing: PostgresClient, messages?: MessageSink) {
    this.#options = options;
    this.#writing = writing;
    this.#places = { source: writing, slots: options.slots === options.source ? writing : options.slots };
    this.#messages = messages;
    this.failed = new Promise((_, reject) => (this.#reject = reject));
    this.failed.catch(() => undefined);
  }

  begin(stream: ReplicationStream): void {
    this.#stream = stream;
  }

  /** The slot is read by one at a time, so who read it before is gone, or frozen: its epoch is over, and what it had written is there. */
  started(): void {
    this.#claimed = this.#claim();
    this.#claimed.catch((error: unknown) => this.#fail(error));
  }

  change(buffer: Buffer, start: number): Promise<void> | undefined {
    this.#heardAt = Date.now();
    if (this.#output !== undefined) return this.#output.take(buffer, start);
    return this.#afterClaim().then(() => this.change(buffer, start));
  }

  keepalive(end: Lsn, wantsReply: boolean): Promise<void> | undefined {
    this.#heardAt = Date.now();
    const collector = this.#collector;
    if (collector === undefined) return this.#afterClaim().then(() => this.keepalive(end, wantsReply));
    if (wantsReply) this.#stream?.reportReceived(end);
    // What was taken and not written is before this position.
    const isBusy = this.#hasFailed || this.#write !== undefined;
    if (isBusy || collector.isOpen || !collector.isEmpty) return undefined;
    if (this.#unnoted !== undefined && Date.now() - this.#notedAt > NOTE_EVERY_MS) this.#write = this.#note();
    if (end - this.#noted > IDLE_BYTES) return this.#passIdle(end);
    this.#options.onReached(end);
    return undefined;
  }

  /** Repeats what is safe: nothing that is slow here may look like silence. */
  report(options: { readonly wantsReply?: boolean } = {}): void {
    if (this.#writer !== undefined) this.#stream?.report(this.#safe, options);
  }

  requireAnswer(withinMs: number): void {
    if (Date.now() - this.#heardAt < withinMs) return;
    const message = `PostgreSQL gave no sign of life for ${withinMs / 1_000} s while the WAL was read.`;
    this.#fail(new Failure('SourceUnavailable', { message }));
  }

  /** Where somebody waits for a position: PostgreSQL answers at once how far it has sent. */
  requestKeepalive(): void {
    if (this.#options.isWanted()) this.report({ wantsReply: true });
  }

  /** Waits for the write in hand. */
  async settled(): Promise<void> {
    await this.#write;
    await this.#note();
  }

  /**
   * A standby that takes over has the outboxes as it had replayed them. So its slot is acknowledged up to the position that is noted there: it then
   * sends again what is missing. Never rejects.
   */
  async acknowledgeReplayed(): Promise<void> {
    const { slots, slot } = this.#options;
    try {
      const position = (await readReader(slots, slot))?.position ?? 0n;
      if (position <= this.#safe || position > this.#noted) return;
      this.#safe = position;
      this.report();
    } catch {
      // It is asked again soon.
    }
  }

  #afterClaim(): Promise<void> {
    return this.#claimed ?? Promise.reject(new Error('a change came before the stream had started'));
  }

  async #claim(): Promise<void> {
    const { slot, onStarted, budgetBytes } = this.#options;
    const claimed = await claimReader(this.#writing, slot, budgetBytes);
    // In another statement than the look before: what the reader before had in hand is there by now.
    const whole = await readWholeSlot(this.#places, slot);
    if (claimed === undefined || typeof whole === 'string')
      throw new Failure('SourceChanged', {
        message: `${typeof whole === 'string' ? whole : `The slot ${slot} is gone`}.`,
      });
    this.#writer = { pg: this.#writing, slot, epoch: claimed.epoch };
    this.#safe = whole.slot.confirmed;
    this.#noted = whole.row.position;
    this.#options.handOvers.restart();
    this.#logs = new LogRelations(this.#options.source);
    this.#collector = new ChangeCollector({
      position: whole.row.position,
      xid: claimed.xid,
      find: (relation) => this.#find(relation),
      handOvers: this.#options.handOvers,
      messages: this.#messages,
      onCommit: (end) => this.#committed(end),
      onKeys: (bytes) => (bytes < MOST_BYTES ? undefined : this.#full()),
    });
    this.#output = new PgOutput(this.#collector);
    onStarted();
  }

  async #find(relation: Relation): Promise<KnownRelation | undefined> {
    const { source, slot } = this.#options;
    const table = await readTable(source, slot, String(relation.oid));
    if (table === undefined || table.isDetached) return undefined;
    const found = await source.query<{ name: string; number: number }>(
      /* sql */ `select attname::text as name, attnum::int as number from pg_catalog.pg_attribute
        where attrelid = $1::oid and attnum > 0 and not attisdropped`,
      [relation.oid],
    );
    const numbers = new Map(found.rows.map(({ name, number }) => [name, number]));
    const places = placesOfKey(relation, table, numbers);
    const log = table.log ? await this.#logs?.of(table, relation, places) : undefined;
    return { id: table.id, columns: table.key.length, places, log };
  }

  #committed(end: Lsn): void {
    if (this.#collector?.hasWhole === true) this.#start();
    else if (this.#write === undefined && !this.#hasFailed) this.#options.onReached(end);
  }

  /** A batch is full. @returns what holds up the stream: the one before it is not written yet */
  #full(): Promise<void> | undefined {
    if (this.#write === undefined) {
      this.#start();
      return undefined;
    }
    if (this.#room === undefined) {
      let make = (): void => undefined;
      const made = new Promise<void>((resolve) => (make = resolve));
      this.#room = { made, make };
    }
    return this.#room.made;
  }

  #makeRoom(): void {
    this.#room?.make();
    this.#room = undefined;
  }

  #fail(error: unknown): void {
    this.#hasFailed = true;
    this.#reject(error);
  }

  #start(): void {
    if (!this.#hasFailed) this.#write ??= this.#writeAll();
  }

  /** Never rejects. */
  async #writeAll(): Promise<void> {
    const [writer, collector] = [this.#writer, this.#collector];
    const { signal, onReached, onSent } = this.#options;
    try {
      // After what came with this piece of the stream: transactions that come together are written together.
      await Promise.resolve();
      while (
        !this.#hasFailed &&
        writer !== undefined &&
        collector !== undefined &&
        (collector.hasWhole || collector.bytes >= MOST_BYTES)
      ) {
        const keys = collector.take();
        // The next one fills while this one is written.
        this.#makeRoom();
        const options = { signal, onWait: () => void (this.#heardAt = Date.now()) };
        // First: what is noted and acknowledged after it is behind them.
        await sendMessages(writer.pg, keys, this.#messages, { ...options, onSent });
        if (keys.rows.size > 0) {
          const position = this.#unnoted;
          await giveRows(writer, keys, position, options);
          if (position !== undefined) this.#wasNoted(position);
        }
        this.#heardAt = Date.now();
        if (keys.tables.size > 0 || keys.logs.size > 0 || keys.rows.size === 0) {
          await writeKeys(writer, keys, options);
          if (keys.end !== undefined) this.#wasNoted(keys.end);
        } else if (keys.end !== undefined) this.#unnoted = keys.end;
        this.#heardAt = Date.now();
        if (keys.end !== undefined) onReached(keys.end);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#write = undefined;
      this.#makeRoom();
    }
  }

  #wasNoted(position: Lsn): void {
    this.#noted = position;
    if (this.#options.slots === this.#options.source) this.#safe = position;
    this.#notedAt = Date.now();
    if (this.#unnoted !== undefined && this.#unnoted <= position) this.#unnoted = undefined;
    this.report();
  }

  /** Never rejects. */
  async #note(): Promise<void> {
    const [writer, position] = [this.#writer, this.#unnoted];
    try {
      if (writer === undefined || position === undefined || this.#hasFailed) return;
      await note(writer, position);
      this.#wasNoted(position);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#write = undefined;
      this.#makeRoom();
    }
    // Something came meanwhile.
    if (this.#collector?.hasWhole === true) this.#start();
  }

  /** Nothing came for long, and the WAL of others is kept for it. */
  async #passIdle(end: Lsn): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined || this.#hasFailed) return;
    const whole = await readWholeSlot(this.#places, writer.slot);
    if (typeof whole === 'string') throw new Failure('SourceChanged', { message: `${whole}.` });
    await note(writer, end);
    this.#wasNoted(end);
    this.#options.onReached(end);
  }
}
