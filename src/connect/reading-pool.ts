import type { ClientBase, Pool } from 'pg';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Semaphore, type AcquireOptions } from './semaphore.js';

/** A connection for one piece of reading. `await using` gives it back, or ends it. */
export interface Lease extends AsyncDisposable {
  readonly client: ClientBase;
  /** Says that the reading came to its end, so the connection can be lent again. Without this call it is ended. */
  keep(): void;
}

/**
 * Lends a bounded number of connections, each for one piece of reading, in the order of the requests.
 *
 * Its invariant: a connection is lent again only if its borrower said that it is clean. A connection in the middle of a COPY is
 * ended: its next borrower would read rows of another table.
 */
export class ReadingPool {
  readonly #pool: Pool;
  readonly #semaphore: Semaphore;

  /** @param pool with as many connections as are lent. Requests wait here, in order and without a time limit, not in the pool */
  constructor(pool: Pool) {
    this.#pool = pool;
    this.#semaphore = new Semaphore(pool.options.max);
  }

  /** Aborting the signal ends the connection, also once it is lent. @throws the signal's reason; Failure `SourceUnavailable` and its like */
  async lease(options: AcquireOptions): Promise<Lease> {
    const place = await this.#semaphore.acquire(options);
    try {
      const client = await this.#pool.connect();
      let clean = false;
      let held = true;
      const giveBack = (as: true | Error | undefined): void => {
        if (!held) return;
        held = false;
        options.signal.removeEventListener('abort', onAbort);
        client.release(as);
        place[Symbol.dispose]();
      };
      // Ends the statement that runs: a server that does not answer must not hold a slice that has to stop.
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
