import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresClient } from '../connect/postgres.js';
import type { Queryable } from '../connect/queryable.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { describeHolders, endHolder, readLockHolders, type LockHolder } from './lock-holders.js';

/** How long a statement stands in the lock queue of a user's table at most: so long wait the readers and writers behind it. */
export const LOCK_TIMEOUT_MS = 200;
/** Who holds the table at two looks that are so far apart is in no hurry. */
const FIRST_LOOK_MS = 250;
const LONGEST_LOOK_MS = 1_000;
/** After a request that was not granted: the next ones come later and later. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Then the attempt fails with a name, which `status` shows, and gives its place to others. */
const GIVE_UP_MS = 60_000;

/** What a piece of DDL needs, and what it may be told meanwhile. */
export interface DdlOptions {
  /** Stops the wait; a statement that runs is finished. */
  readonly signal?: AbortSignal | undefined;
  /** Told at each look who is in the way. */
  readonly onWait?: ((holders: string) => void) | undefined;
  /** Default 60 s. */
  readonly giveUpMs?: number | undefined;
  /** Runs first in the transaction, and throws where somebody else has taken over. */
  readonly fence?: ((pg: Queryable) => Promise<void>) | undefined;
  /** The ledger lies in another database: an outbox gets its row in `pg2click.drain`. */
  readonly ledgerElsewhere?: boolean | undefined;
  /** A connection of its own to the server that has the replication slots. Absent: that of the tables has them. */
  readonly connectSlots?: (() => Promise<PostgresClient>) | undefined;
  /** Of a removal: another capture fills the outbox, which stays. */
  readonly keepsOutbox?: boolean | undefined;
}

export interface LockWish {
  /** Of the table, for sentences. */
  readonly title: string;
  /** Oids of what would be locked, at this moment. */
  readonly relations: () => Promise<readonly string[]>;
  /** Modes of others that are in the way. */
  readonly modes: readonly string[];
}

/**
 * Runs DDL when nobody stands in its way for long. PostgreSQL lets everyone who comes later wait behind a request for a lock, so
 * it is asked for only when `pg_locks` shows nobody who was there a moment ago too: short transactions come and go on a busy
 * table, and waiting for none at all would never end.
 * @param work one transaction under a `lock_timeout` of `LOCK_TIMEOUT_MS`
 * @throws the signal's reason; Failure `LockTimeout`, which names who is in the way
 */
export async function withBriefLock<T>(
  pg: Queryable,
  wish: LockWish,
  work: () => Promise<T>,
  { signal, onWait, giveUpMs = GIVE_UP_MS }: DdlOptions = {},
): Promise<T> {
  const giveUpAt = Date.now() + giveUpMs;
  const seenSince = new Map<string, number>();
  let before: ReadonlySet<string> | undefined;
  let askAt = 0;
  let [lookMs, pauseMs] = [FIRST_LOOK_MS, FIRST_PAUSE_MS];
  for (;;) {
    signal?.throwIfAborted();
    const holders = await readLockHolders(pg, await wish.relations(), wish.modes);
    for (const { id } of holders) if (!seenSince.has(id)) seenSince.set(id, Date.now());
    const staying = before === undefined ? holders : holders.filter(({ id }) => before?.has(id) === true);
    before = new Set(holders.map(({ id }) => id));
    if (staying.length === 0 && Date.now() >= askAt) {
      try {
        return await work();
      } catch (error) {
        if (classifyPostgres(error, '').kind !== 'LockTimeout') throw error;
      }
      askAt = Date.now() + pauseMs;
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
    if (Date.now() >= giveUpAt) throw blocked(wish.title, staying, seenSince);
    onWait?.(sentenceOf(wish.title, staying, seenSince));
    await sleep(lookMs, undefined, { signal });
    lookMs = Math.min(2 * lookMs, LONGEST_LOOK_MS);
  }
}

function sentenceOf(title: string, holders: readonly LockHolder[], seenSince: ReadonlyMap<string, number>): string {
  return holders.length === 0
    ? `transactions that follow one another leave no ${LOCK_TIMEOUT_MS} ms in which ${title} is free`
    : `${title} is held by ${describeHolders(holders, seenSince)}`;
}

function blocked(title: string, holders: readonly LockHolder[], seenSince: ReadonlyMap<string, number>): Failure {
  const ending = endHolder(holders);
  return new Failure('LockTimeout', {
    message: `A lock on the table is not free: ${sentenceOf(title, holders, seenSince)}.`,
    remedy: `It is tried again by itself, and nobody waits behind it meanwhile.${ending === '' ? '' : ` To end who is in the way: ${ending}`}`,
  });
}
