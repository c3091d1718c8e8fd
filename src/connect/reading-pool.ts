import type { ClientBase, Pool } from 'pg';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Semaphore, type AcquireOptions } from './semaphore.js';

/** A connection for one piece of reading. `await using` gives it back, or ends it. */
export interface Lease extends AsyncDisposable {
  readonly client: ClientBase;
  /** Says that the reading came to its end: the connection is fit for another. Without this it is ended. */
  keep(): void;
}

/**
 * Lends a bounded number of connections, each for one piece of reading, in the order in which they were asked for.
 *
 * Its invariant: a connection is lent again only when its borrower said that it is clean. One in the middle of a COPY, whose
 * reader was aborted, failed or walked away, is ended: its next borrower would read the other's rows.
 */
export class ReadingPool {
  readonly #pool: Pool;
  readonly #semaphore: Semaphore;

  /** @param pool of as many connections as are lent: the waiting is done here, where it is fair and has no time limit */
  constructor(pool: Pool) {
    this.#pool = pool;
    this.#semaphore = new Semaphore(pool.options.max);
  }

  /** Aborting the signal ends the connection, also once it is lent. @throws the signal's reason; Failure `SourceUnavailable` and its like */
  async lease(options: AcquireOptions): Promise<Lease> {
    const place = await this.#semaphore.acquire(options);
    try {
      const client = await this.#pool.connect();
      // The pool listens only while a connection is idle; the next statement on a broken one fails and tells.
      const ignore = (): void => undefined;
      client.on('error', ignore);
      let clean = false;
      let held = true;
      const giveBack = (as: true | Error | undefined): void => {
        if (!held) return;
        held = false;
        options.signal.removeEventListener('abort', onAbort);
        if (as === undefined) client.off('error', ignore);
        client.release(as);
        place[Symbol.dispose]();
      };
      // Ends what runs on it: a server that does not answer must not hold whoever was told to stop.
      const onAbort = (): void => giveBack(new Error('The reading was aborted.'));
      options.signal.addEventListener('abort', onAbort, { once: true });
      return {
        client,
        keep: () => {
          clean = true;
        },
        [Symbol.asyncDispose]: () => Promise.resolve(giveBack(clean ? undefined : true)),
      };
    } catch (error) {
      place[Symbol.dispose]();
      throw classifyPostgres(error, 'connecting');
    }
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}
