import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresClient } from '../connect/postgres.js';
import { withTimeout } from '../connect/with-timeout.js';
import { asLedgerFailure, classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';
import { isRefusal } from '../failure/kinds.js';
import { enterWorker, findUnlocked, giveLocks, takeLocks, type WorkerRow } from '../ledger/workers.js';
import type { Log } from '../observe/log.js';
import { PollBackoff } from '../pipeline/poll-backoff.js';
import { openLockSession, type LockSession } from './lock-session.js';

export interface WorkerLockOptions {
  /** Unlike that of any other process. */
  readonly name: string;
  /** Its id. */
  readonly deployment: string;
  /** Opens a connection to the database of the ledger. */
  connect(): Promise<PostgresClient>;
  /**
   * Has the slices of a worker that is gone started elsewhere.
   * @param onFailed called once, when Temporal knows of all of it
   * @returns how many slices that were
   */
  takeOver(session: PostgresClient, lost: string, signal: AbortSignal, onFailed: () => void): Promise<number>;
  readonly log: Log;
}

const EVERY_MS = 300;
/** A lock that was lost with its connection is taken again in less: only a worker that lacks it at two looks is gone. */
const CONFIRM_MS = 150;
/**
 * After PostgreSQL has started, or this worker has lost its connection, the others may have lost theirs too. So long they are left alone;
 * the heartbeats of Temporal decide meanwhile.
 */
const QUIET_MS = 15_000;
const ANSWER_MS = 5_000;
const WITHOUT = 'if it is killed, its tables stand still for 10 s';
const RECONNECT = { shortestMs: 10, longestMs: 5_000, growth: 2 };

/**
 * Holds the lock of this worker in the ledger's database, and looks which others are without theirs.
 *
 * PostgreSQL frees a lock when the process that held it is gone. Who finds a free lock twice takes it, and so is the only one who has the
 * worker's slices started elsewhere; then it deletes the worker's row. A crash between any two steps leaves the row with a free lock
 * to the next who looks. To take a worker for dead that lives costs time and nothing else: epochs fence its slices.
 */
export class WorkerLock {
  readonly #options: WorkerLockOptions;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;
  /** Numbers of workers whose slices are being started elsewhere. */
  readonly #taking = new Map<number, Promise<void>>();
  #begun: () => void = () => undefined;
  #isFirst = true;
  #noted: string | undefined;
  /** Settles when the lock is held, and what others left behind is started; or when it cannot be had for now. */
  readonly begun = new Promise<void>((resolve) => (this.#begun = resolve));

  constructor(options: WorkerLockOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Gives the lock back: call it when no slice runs any more. */
  async close(): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.allSettled(this.#taking.values());
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const backoff = new PollBackoff(RECONNECT);
    while (!this.#over.signal.aborted) {
      try {
        await using session = await openLockSession(() => this.#options.connect());
        if (session === undefined) return this.#giveUp();
        await this.#hold(session, () => backoff.reset());
      } catch (error) {
        if (this.#over.signal.aborted) break;
        this.#note(asLedgerFailure(classifyPostgres(error, 'holding the lock of this worker')));
      }
      this.#begun();
      await rest(backoff.nextMs(), this.#over.signal);
    }
    this.#begun();
  }

  /** Until the worker ends. @throws where the connection is lost */
  async #hold({ client: session, serverAgeMs }: LockSession, onHeld: () => void): Promise<void> {
    const { name, deployment } = this.#options;
    const lost = new AbortController();
    session.once('end', () => lost.abort());
    const signal = AbortSignal.any([lost.signal, this.#over.signal]);
    const own = await answered(enterWorker(session, { name, deployment }));
    const quietUntil = Date.now() + QUIET_MS - (this.#isFirst ? serverAgeMs : 0);
    this.#isFirst = false;
    this.#noted = undefined;
    onHeld();
    const look = async (): Promise<readonly number[]> => {
      const found = await answered(findUnlocked(session, deployment, [own, ...this.#taking.keys()]));
      return found.map(({ id }) => id);
    };
    while (!this.#over.signal.aborted) {
      const unlocked = await look();
      const begun: Promise<void>[] = [];
      if (unlocked.length > 0 && Date.now() >= quietUntil) {
        await rest(CONFIRM_MS, signal);
        const still = (await look()).filter((id) => unlocked.includes(id));
        for (const row of await answered(takeLocks(session, still))) begun.push(this.#take(session, row));
      }
      void Promise.all(begun).then(this.#begun);
      await rest(EVERY_MS, signal);
    }
    await answered(giveLocks(session, [own], { forget: true }));
  }

  /** @returns when Temporal knows of all that the worker ran */
  #take(session: PostgresClient, row: WorkerRow): Promise<void> {
    return new Promise((resolve) => this.#taking.set(row.id, this.#takeOver(session, row, resolve).finally(resolve)));
  }

  /** Never rejects. Where it fails, the next look finds the worker again. */
  async #takeOver(session: PostgresClient, { id, name }: WorkerRow, onFailed: () => void): Promise<void> {
    const { log } = this.#options;
    let isDone = false;
    try {
      const slices = await this.#options.takeOver(session, name, this.#over.signal, onFailed);
      isDone = true;
      if (slices > 0) log.warn({ lost: name, slices }, 'a worker is gone; its slices are started elsewhere');
    } catch (error) {
      log.debug({ error, lost: name }, 'a worker is gone, and its slices could not be started elsewhere');
    }
    await answered(giveLocks(session, [id], { forget: isDone })).catch(() => undefined);
    this.#taking.delete(id);
  }

  #giveUp(): void {
    this.#options.log.info(`the ledger is reached through a pooler, which keeps no session: ${WITHOUT}`);
    this.#begun();
  }

  /** What a person has to mend is said once; that a server is away, others say. */
  #note({ kind, message, remedy }: Failure): void {
    const level = isRefusal(kind) && this.#noted !== message ? 'warn' : 'debug';
    this.#noted = message;
    this.#options.log[level]({ kind, reason: message, remedy }, `this worker has no lock in the ledger: ${WITHOUT}`);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

async function answered<T>(work: Promise<T>): Promise<T> {
  const message = `PostgreSQL did not answer within ${ANSWER_MS / 1_000} s.`;
  return withTimeout(work, ANSWER_MS, () => new Failure('LedgerUnavailable', { message }));
}
