import { performance } from 'node:perf_hooks';
import { setTimeout as rest } from 'node:timers/promises';
import { DatabaseError, type ClientBase, type QueryConfig } from 'pg';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { policyOf } from '../../failure/kinds.js';
import { withTimeout } from '../../connect/with-timeout.js';
import { PollBackoff } from '../../pipeline/poll-backoff.js';

/** A table that had some ten changes a second keeps the looks short; from idle to the longest rest it takes 0.3 s. */
const PACE = { shortestMs: 5, longestMs: 50, growth: 1.25 };
/** Rests last so many times as long as the look before, and 50 ms at most: up to 10,000 tables, looking takes a fifth of a core. */
const REST_TO_LOOK = 4;
/** A look takes 0.2 ms and 1.2 us a table: one that takes this long has met a server that does not answer. */
const LOOK_DEADLINE_MS = 10_000;

/**
 * Of every outbox one waits for: whether its sequence has moved, back too: one that was restarted has no value, and one that is waited
 * for until it is above what was seen would have given old positions again by then. Prepared, so that each look only executes it. It
 * returns those that have moved, and those that this role may not read: PostgreSQL 18 says null of them, older ones fail the statement.
 */
const LOOK = /* sql */ `
  select watched.place::int - 1 as place, last is null and not has_sequence_privilege(watched.sequence, 'usage, select') as unreadable
  from unnest($1::oid[], $2::bigint[]) with ordinality watched (sequence, seen, place),
    pg_sequence_last_value(watched.sequence) last
  where coalesce(last, 0) <> watched.seen or last is null and not has_sequence_privilege(watched.sequence, 'usage, select')`;

/** One outbox that is gone, or may not be read, makes the look fail for all of them. */
const FIND_GUILTY = /* sql */ `
  select watched.place::int - 1 as place, c.oid is not null as unreadable
  from unnest($1::oid[]) with ordinality watched (sequence, place)
  left join pg_catalog.pg_class c on c.oid = watched.sequence
  where c.oid is null or not has_sequence_privilege(c.oid, 'usage, select')`;

interface Found {
  readonly place: number;
  readonly unreadable: boolean;
}

/** Which outbox, and up to where it is known. */
export interface Watched {
  /** Oid of its sequence, decimal. */
  readonly sequence: string;
  /** Decimal. */
  readonly seen: string;
}

/** A connection that a watch may have for itself. */
export type WatchConnection = ClientBase & AsyncDisposable;

interface Waiter extends Watched {
  settle(moved: boolean): void;
  reject(failure: Failure): void;
}

/**
 * Looks into the outboxes of all tables of a worker, over one connection and with one statement, as long as anyone waits.
 *
 * It looks at the sequences, which is cheap and takes no longer when an outbox is full of rows that nobody can see: 0.3 ms of
 * PostgreSQL for 200 tables, where asking each outbox for a visible row took 3.3 ms. A sequence moves before its transaction
 * commits, so a slice that is woken may have to look again for a while; that is the table's own business, and its own time.
 *
 * Its invariant: a waiter is in the set until it is settled, and every look asks for all of them. When the connection is lost
 * all of them fail: their slices begin again, with a look at the history of what they find then.
 */
export class OutboxWatch {
  readonly #connect: () => Promise<WatchConnection>;
  readonly #onLost: () => void;
  readonly #waiters = new Set<Waiter>();
  readonly #pace = new PollBackoff(PACE);
  #connection: WatchConnection | undefined;
  #running: Promise<void> | undefined;

  /** @param connect opens a connection; called at the first wait, and again after it was lost */
  constructor(connect: () => Promise<WatchConnection>, { onLost = () => undefined }: { onLost?: () => void } = {}) {
    this.#connect = connect;
    this.#onLost = onLost;
  }

  /**
   * Waits until the sequence stands elsewhere than at `seen`; whether an event can be seen already is another question.
   * @param options `timeoutMs`: how long at most, for ever by default
   * @returns false where the signal or the time ended it
   * @throws Failure `SourceUnavailable` and its like
   */
  wait(watched: Watched, { signal, timeoutMs }: { signal: AbortSignal; timeoutMs?: number }): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      const end = (act: () => void): void => {
        if (!this.#waiters.delete(waiter)) return;
        clearTimeout(timer);
        signal.removeEventListener('abort', give);
        act();
      };
      const waiter: Waiter = {
        ...watched,
        settle: (moved) => end(() => resolve(moved)),
        reject: (failure) => end(() => reject(failure)),
      };
      const give = (): void => waiter.settle(false);
      const timer = timeoutMs === undefined ? undefined : setTimeout(give, timeoutMs);
      signal.addEventListener('abort', give, { once: true });
      this.#waiters.add(waiter);
      this.#running ??= this.#run();
    });
  }

  /** Ends the connection; who still waits is told that nothing moved. */
  async close(): Promise<void> {
    for (const waiter of this.#waiters) waiter.settle(false);
    await this.#running;
    await this.#connection?.[Symbol.asyncDispose]();
    this.#connection = undefined;
  }

  /** Looks until nobody waits. Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiters.size > 0) {
      const startedAt = performance.now();
      try {
        await this.#look();
      } catch (error) {
        await this.#lose(classifyPostgres(error, 'looking at the outboxes'));
      }
      const lookMs = performance.now() - startedAt;
      await rest(Math.min(PACE.longestMs, Math.max(this.#pace.nextMs(), lookMs * REST_TO_LOOK)));
    }
    this.#running = undefined;
  }

  async #look(): Promise<void> {
    const connection = (this.#connection ??= await this.#connect());
    const waiters = [...this.#waiters];
    const sequences = `{${waiters.map(({ sequence }) => sequence).join()}}`;
    const seen = `{${waiters.map((waiter) => waiter.seen).join()}}`;
    const query = async (config: QueryConfig): Promise<readonly Found[]> =>
      (await withTimeout(connection.query<Found>(config), LOOK_DEADLINE_MS, late)).rows;
    try {
      const found = await query({ name: 'look', text: LOOK, values: [sequences, seen] });
      if (found.length > 0) this.#pace.reset();
      for (const { place, unreadable } of found)
        if (unreadable) waiters[place]?.reject(forbidden());
        else waiters[place]?.settle(true);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      const guilty = await query({ text: FIND_GUILTY, values: [sequences] });
      if (guilty.length === 0) throw error;
      for (const { place, unreadable } of guilty) waiters[place]?.reject(unreadable ? forbidden(error) : gone(error));
    }
  }

  /** All who wait fail for what passes by itself: one refused login of the watch must not park the tables of a worker. */
  async #lose(reason: Failure): Promise<void> {
    const lost = this.#connection;
    this.#connection = undefined;
    this.#pace.reset();
    this.#onLost();
    const failure =
      policyOf(reason.kind).treatment === 'transient'
        ? reason
        : new Failure('SourceUnavailable', { message: reason.message, cause: reason });
    for (const waiter of this.#waiters) waiter.reject(failure);
    await lost?.[Symbol.asyncDispose]();
  }
}

function late(): Failure {
  const message = `PostgreSQL did not answer within ${LOOK_DEADLINE_MS / 1_000} s while looking at the outboxes.`;
  return new Failure('SourceUnavailable', { message });
}

function gone(cause: Error): Failure {
  return new Failure('SourceUnavailable', {
    message: 'The outbox of this table is gone.',
    remedy:
      'Nothing to do yet: the table is compared with what it was when it was added, and says then what was dropped.',
    cause,
  });
}

function forbidden(cause?: Error): Failure {
  return new Failure('Unauthorized', {
    message: 'The PostgreSQL role may not read the sequence of the outbox of this table (schema pg2click).',
    cause,
  });
}
