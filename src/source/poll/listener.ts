import type { ClientBase } from 'pg';
import { quotePg } from '../../domain/identifier.js';
import { PollBackoff } from '../../pipeline/poll-backoff.js';
import type { WaitOptions } from './waker.js';

/** A connection that a listener may have for itself. */
export type ListenConnection = ClientBase & AsyncDisposable;

/** Between two tries to connect again. Timers go on meanwhile. */
const RECONNECT = { shortestMs: 100, longestMs: 5_000, growth: 2 };

/** One waiter of a channel. Several may listen to one: all of them are woken. */
export interface Subscription extends AsyncDisposable {
  /** Forgets what came so far. */
  clear(): void;
  /** @returns whether something came since `clear` or the last `wait`; also after a lost connection, which may have lost something */
  wait(options: WaitOptions): Promise<boolean>;
}

interface Subscriber {
  readonly channel: string;
  isRung: boolean;
  ring(): void;
}

/**
 * Listens to the channels of all tables of a worker over one connection.
 *
 * A notification says that it is time to look, and nothing else, so one that is lost costs no more than the timer of who waits for
 * it. When the connection is lost, all are woken once, and again when it is back: what was notified in between was heard by nobody.
 */
export class Listener {
  readonly #connect: () => Promise<ListenConnection>;
  readonly #subscribers = new Set<Subscriber>();
  readonly #pace = new PollBackoff(RECONNECT);
  #connection: ListenConnection | undefined;
  #connecting: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** One statement at a time. */
  #said: Promise<void> = Promise.resolve();

  /** @param connect opens a connection; called at the first subscription, and again after it was lost */
  constructor(connect: () => Promise<ListenConnection>) {
    this.#connect = connect;
  }

  subscribe(channel: string): Subscription {
    const subscriber: Subscriber = { channel, isRung: false, ring: () => (subscriber.isRung = true) };
    const isFirst = !this.#hears(channel);
    this.#subscribers.add(subscriber);
    if (this.#connection === undefined) this.#open();
    else if (isFirst) this.#say(`listen ${quotePg(channel)}`, () => this.#ringAll(channel));
    return {
      clear: () => {
        subscriber.isRung = false;
      },
      wait: (options) => waitFor(subscriber, options),
      [Symbol.asyncDispose]: () => {
        this.#subscribers.delete(subscriber);
        if (!this.#hears(channel)) this.#say(`unlisten ${quotePg(channel)}`);
        return Promise.resolve();
      },
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await this.#connecting;
    await this.#connection?.[Symbol.asyncDispose]();
    this.#connection = undefined;
  }

  #hears(channel: string): boolean {
    return [...this.#subscribers].some((each) => each.channel === channel);
  }

  #ringAll(channel?: string): void {
    for (const each of this.#subscribers) if (channel === undefined || each.channel === channel) each.ring();
  }

  #say(statement: string, then: () => void = () => undefined): void {
    const connection = this.#connection;
    // One that fails ends with the connection, and is said again on the next one.
    this.#said = this.#said.then(() => connection?.query(statement)).then(then, () => undefined);
  }

  #open(): void {
    if (this.#isClosed || this.#connecting !== undefined) return;
    this.#connecting = this.#listen()
      .catch(() => this.#openLater())
      .finally(() => (this.#connecting = undefined));
  }

  async #listen(): Promise<void> {
    const connection = await this.#connect();
    connection.on('notification', ({ channel }) => this.#ringAll(channel));
    connection.once('end', () => this.#lose(connection));
    try {
      await connection.query(this.#listenSql());
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
    this.#connection = connection;
    this.#pace.reset();
    // Those too who subscribed while it began to listen to the others.
    this.#say(this.#listenSql(), () => this.#ringAll());
  }

  #listenSql(): string {
    const channels = new Set([...this.#subscribers].map(({ channel }) => channel));
    return [...channels].map((channel) => `listen ${quotePg(channel)}`).join('; ') || 'select';
  }

  #lose(connection: ListenConnection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#ringAll();
    this.#openLater();
  }

  #openLater(): void {
    if (this.#isClosed || this.#subscribers.size === 0) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), this.#pace.nextMs()).unref();
  }
}

function waitFor(subscriber: Subscriber, { signal, timeoutMs }: WaitOptions): Promise<boolean> {
  if (subscriber.isRung || signal.aborted) {
    const { isRung } = subscriber;
    subscriber.isRung = false;
    return Promise.resolve(isRung);
  }
  return new Promise((resolve) => {
    const end = (isRung: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
      subscriber.ring = () => (subscriber.isRung = true);
      resolve(isRung);
    };
    const give = (): void => end(false);
    const timer = setTimeout(give, timeoutMs);
    subscriber.ring = () => end(true);
    signal.addEventListener('abort', give, { once: true });
  });
}
