import { connectInPlace, type PostgresClient } from '../../connect/postgres.js';
import type { AcquireOptions, Semaphore } from '../../connect/semaphore.js';
import { placeOf, type CopyPriority } from '../../domain/copy-priority.js';
import type { RateLimit } from '../../pipeline/rate-limit.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';

/** Limits that a database may set for its sessions, of PostgreSQL 14 and later: a copy would end with them. */
const NO_LIMITS = /* sql */ `select set_config(name, '0', false) from pg_catalog.pg_settings
  where name in ('transaction_timeout', 'idle_session_timeout')`;

/** Who waits for a connection, and how. */
export interface CopyTurn extends Pick<AcquireOptions, 'signal' | 'onWait'> {
  readonly priority: CopyPriority;
  /** What is left to read, on the disk of PostgreSQL: an estimate. */
  readonly bytes: number;
}

/**
 * Connections that the copies of a worker share: as many as `PG2CLICK_COPIES` says. The order is by priority, then by size: a table of
 * 1 MB does not wait for hours behind one of 1 TB, and the large one waits seconds for the small one.
 */
export class CopyConnections {
  readonly #places: Semaphore;
  readonly #connect: (name: string) => Promise<PostgresClient>;

  /** Of the bytes of all copies together. */
  readonly limit: RateLimit;

  constructor(places: Semaphore, limit: RateLimit, connect: (name: string) => Promise<PostgresClient>) {
    this.#places = places;
    this.limit = limit;
    this.#connect = connect;
  }

  /** How many wait for a connection. */
  get waiting(): number {
    return this.#places.waiting;
  }

  /** Whether another copy of this priority, or of a higher one, waits for a connection. */
  areWanted(priority: CopyPriority): boolean {
    return this.#places.hasWaiting(([place = 0]) => place <= placeOf(priority));
  }

  /** Whether one of a higher priority does. */
  areWantedFirst(priority: CopyPriority): boolean {
    return this.#places.hasWaiting(([place = 0]) => place < placeOf(priority));
  }

  /** A connection of the caller's own when its turn has come; disposing of it ends it. @throws the signal's reason; Failure */
  async take(name: string, { priority, bytes, ...options }: CopyTurn): Promise<PostgresClient> {
    return this.#open(name, await this.#places.acquire({ ...options, rank: [placeOf(priority), bytes] }));
  }

  /** @returns undefined where none is free */
  async takeFree(name: string): Promise<PostgresClient | undefined> {
    const place = this.#places.tryAcquire();
    return place === undefined ? undefined : this.#open(name, place);
  }

  #open(name: string, place: Disposable): Promise<PostgresClient> {
    return connectInPlace(place, async () => {
      const client = await this.#connect(name);
      await client.query(NO_LIMITS).catch(async (error: unknown) => {
        await client[Symbol.asyncDispose]();
        throw classifyPostgres(error, 'opening a connection for a copy');
      });
      return client;
    });
  }
}
