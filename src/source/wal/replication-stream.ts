import type { Duplex } from 'node:stream';
import type { ClientBase, Connection, Submittable } from 'pg';
import { Frames } from './frames.js';
import type { Lsn } from './lsn.js';

type OnData = (chunk: Buffer) => void;

/** `w`: start, end and time go before the change. `k`: end, time, and whether an answer is wanted. */
const XLOG_DATA = 0x77;
const XLOG_HEADER_BYTES = 25;
const KEEPALIVE = 0x6b;
const COPY_BOTH = 0x57;
/** `d`, length, `r`, three positions, a time, and whether an answer is wanted. */
const STATUS_BYTES = 39;
const POSTGRES_EPOCH_MS = 946_684_800_000;
/** In the place of a position: none is given. */
const NOTHING: Lsn = 0n;
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);

export interface StreamReceiver {
  /** PostgreSQL has given us the slot: from here on nobody else reads it. */
  started(): void;
  /** A message of the output plugin starts at `start`. A promise holds up the stream until it is settled. */
  change(buffer: Buffer, start: number): Promise<void> | undefined;
  /** All of the WAL before `end` was sent. @param wantsReply the connection is closed soon if nothing is answered */
  keepalive(end: Lsn, wantsReply: boolean): Promise<void> | undefined;
}

/**
 * `START_REPLICATION` on a connection of `pg` that was opened for it. While it runs it reads the socket in place of the parser of `pg`,
 * which gets every message that is none of the stream: errors, notices, the end.
 *
 * What was received is never acknowledged by itself: only `report` does that. A receiver that takes its time stops the reading of the
 * socket, and with it the server; `report` goes on.
 */
export class ReplicationStream implements Submittable {
  readonly #sql: string;
  readonly #receiver: StreamReceiver;
  readonly #frames: Frames;
  #socket: Duplex | undefined;
  /** The listener of the parser, in whose place this one reads. */
  #parse: OnData | undefined;
  #isDone = false;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  /** Settled when the stream has ended: rejected with the error of PostgreSQL, of the connection or of the receiver. */
  readonly ended: Promise<void>;

  /** @param sql one `start_replication` */
  constructor(sql: string, receiver: StreamReceiver) {
    this.#sql = sql;
    this.#receiver = receiver;
    this.#frames = new Frames({
      onData: (buffer, start) => this.#data(buffer, start),
      onMessage: (message) => {
        if (message[0] === COPY_BOTH) receiver.started();
        else this.#parse?.(message);
      },
    });
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who waits for it comes later.
    this.ended.catch(() => undefined);
  }

  /** Called by `pg` when the statement's turn has come. */
  submit(connection: Connection): Error | undefined {
    const [parse, ...others] = connection.stream.listeners('data') as OnData[];
    if (parse === undefined || others.length > 0) return new Error('something else reads this connection');
    this.#socket = connection.stream;
    this.#parse = parse;
    this.#socket.removeListener('data', parse);
    this.#socket.on('data', this.#take);
    connection.query(this.#sql);
    return undefined;
  }

  /** Called by `pg`; the stream itself has ended by then. */
  handleCommandComplete(): void {
    return undefined;
  }

  handleReadyForQuery(): void {
    this.#giveBack();
    this.#resolve();
  }

  handleError(error: Error): void {
    this.#giveBack();
    this.#reject(error);
  }

  /**
   * Acknowledges: PostgreSQL may forget the WAL before `safe`, and starts there the next time. It accepts any position, also one beyond
   * the end of its WAL, and would then skip what comes before that.
   */
  report(safe: Lsn, { wantsReply = false }: { readonly wantsReply?: boolean } = {}): void {
    this.#send({ received: safe, safe, wantsReply });
  }

  /**
   * Says what has come, and acknowledges nothing. A server that shuts down waits until all that it has sent was received, for ever: it goes by
   * what is safe where that is given, and by what was received where it is not.
   */
  reportReceived(end: Lsn): void {
    this.#send({ received: end, safe: NOTHING, wantsReply: false });
  }

  #send({ received, safe, wantsReply }: { received: Lsn; safe: Lsn; wantsReply: boolean }): void {
    if (this.#socket === undefined || this.#isDone || !this.#socket.writable) return;
    const message = Buffer.alloc(STATUS_BYTES);
    message.write('d', 0, 'latin1');
    message.writeInt32BE(STATUS_BYTES - 1, 1);
    message.write('r', 5, 'latin1');
    message.writeBigUInt64BE(received, 6);
    message.writeBigUInt64BE(safe, 14);
    message.writeBigUInt64BE(safe, 22);
    message.writeBigInt64BE(BigInt(Date.now() - POSTGRES_EPOCH_MS) * 1_000n, 30);
    message[38] = wantsReply ? 1 : 0;
    this.#socket.write(message);
  }

  /** Ends the stream; `ended` says when PostgreSQL has. */
  stop(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#socket?.write(COPY_DONE);
  }

  readonly #take = (chunk: Buffer): void => {
    this.#frames.take(chunk);
    if (!this.#frames.isHeld) this.#drain();
  };

  #drain(): void {
    try {
      const held = this.#frames.drain();
      if (held === undefined) return;
      this.#socket?.pause();
      held.then(
        () => {
          this.#socket?.resume();
          this.#drain();
        },
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  #data(buffer: Buffer, start: number): Promise<void> | undefined {
    // After the request to end, PostgreSQL may send what it had begun to.
    if (this.#isDone) return undefined;
    const kind = buffer[start];
    if (kind === XLOG_DATA) return this.#receiver.change(buffer, start + XLOG_HEADER_BYTES);
    if (kind === KEEPALIVE)
      return this.#receiver.keepalive(buffer.readBigUInt64BE(start + 1), buffer[start + 17] === 1);
    throw new RangeError(`a message ${kind} of the replication protocol`);
  }

  /** What goes on is of no use any more. */
  #fail(error: unknown): void {
    this.#isDone = true;
    this.#socket?.destroy();
    this.#reject(error);
  }

  #giveBack(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#parse === undefined) return;
    this.#isDone = true;
    this.#frames.end();
    this.#socket = undefined;
    socket.removeListener('data', this.#take);
    socket.on('data', this.#parse);
    socket.resume();
  }
}

/**
 * Starts the stream.
 * @param pg a connection that was opened for replication, on which nothing else runs from now on
 * @param messages whether logical messages are sent too
 */
export function startReplication(
  pg: ClientBase,
  slot: string,
  receiver: StreamReceiver,
  { messages = false }: { readonly messages?: boolean } = {},
): ReplicationStream {
  // At 0/0 PostgreSQL starts where the slot stands. A position of ours, if it were too high, would skip changes without an error.
  const sql = `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${slot}"'${messages ? `, messages 'true'` : ''})`;
  return pg.query(new ReplicationStream(sql, receiver));
}
