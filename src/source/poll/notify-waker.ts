import { rowsOfLast, type Queryable } from '../../connect/queryable.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { Listener, Subscription } from './listener.js';
import { readLast, type CursorSequence } from './sequence.js';
import { AWAKE, setFlagSql, sleepSql } from './wake-trigger.js';
import type { Waker, WaitOptions } from './waker.js';

const UNDEFINED_TABLE = '42P01';

export interface NotifyOptions {
  readonly channel: string;
  readonly sequence: CursorSequence;
  /** The longest sleep. */
  readonly intervalMs: number;
  /** Ledger id of the table, where a trigger of ours looks at its flag; undefined for a trigger of the user's. */
  readonly flagOf: string | undefined;
  /** Wakes too on a server that allows prepared transactions, where the trigger of ours may have to keep quiet. */
  readonly beside?: Waker | undefined;
  /** Somebody dropped the flag: from then on there is the timer. */
  readonly onFlagLost?: () => void;
}

/**
 * Sleeps until a trigger notifies, or the timer is over.
 *
 * Before it sleeps it sets the flag, then looks at the sequence; a writer draws its id, then looks at the flag. So one of the two
 * always sees the other. While rows keep coming the flag is not set, and no commit notifies. After a crash the flag may say asleep:
 * then every commit notifies until a reader is back, which is slow and not wrong.
 */
export class NotifyWaker implements Waker {
  readonly #source: Queryable;
  readonly #listener: Listener;
  readonly #options: NotifyOptions;
  #subscription: Subscription | undefined;
  #isAsleep = false;
  #dueAt = 0;
  #mayBeQuiet: boolean | undefined;
  #isFlagLost = false;

  constructor(source: Queryable, listener: Listener, options: NotifyOptions) {
    this.#source = source;
    this.#listener = listener;
    this.#options = options;
  }

  /** @throws Failure `SourceUnavailable` and its like, of the statements beside the notification */
  async wait(seen: bigint, { signal, timeoutMs }: WaitOptions): Promise<boolean> {
    const { channel, intervalMs } = this.#options;
    this.#subscription ??= this.#listener.subscribe(channel);
    if (!this.#isAsleep) {
      this.#subscription.clear();
      if (await this.#hasMoved(seen)) return true;
      this.#isAsleep = true;
      this.#dueAt = Date.now() + intervalMs;
    }
    const restMs = Math.min(timeoutMs, Math.max(0, this.#dueAt - Date.now()));
    const isRung = await this.#sleep(this.#subscription, seen, { signal, timeoutMs: restMs });
    if (!isRung && Date.now() < this.#dueAt) return false;
    await this.#wake();
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A flag that nobody reads would make every commit notify.
    await this.#wake().catch(() => undefined);
    await this.#subscription?.[Symbol.asyncDispose]();
    await this.#options.beside?.[Symbol.asyncDispose]();
  }

  async #sleep(subscription: Subscription, seen: bigint, options: WaitOptions): Promise<boolean> {
    const { beside, flagOf } = this.#options;
    if (beside === undefined || flagOf === undefined || !(this.#mayBeQuiet ??= await this.#allowsPrepared()))
      return subscription.wait(options);
    const over = new AbortController();
    const either = { ...options, signal: AbortSignal.any([options.signal, over.signal]) };
    try {
      const waits = [subscription.wait(either), beside.wait(seen, either)];
      return await Promise.any(waits.map(async (each) => (await each) || Promise.reject(new Error('not yet')))).catch(
        () => false,
      );
    } finally {
      over.abort();
    }
  }

  async #allowsPrepared(): Promise<boolean> {
    try {
      const found = await this.#source.query<{ allowed: boolean }>(
        /* sql */ `select current_setting('max_prepared_transactions') <> '0' as allowed`,
      );
      return found.rows[0]?.allowed === true;
    } catch (error) {
      throw classifyPostgres(error, 'looking whether transactions may be prepared');
    }
  }

  /** Sets the flag where nothing is new. */
  async #hasMoved(seen: bigint): Promise<boolean> {
    const { sequence, flagOf } = this.#options;
    // Most often so under load, and then the flag stays as it is.
    if ((await readLast(this.#source, sequence)).last > seen) return true;
    if (flagOf === undefined) return false;
    const [row] = rowsOfLast<{ last: string }>(await this.#flag(sleepSql(flagOf, sequence.oid)));
    if (BigInt(row?.last ?? 0) <= seen) return false;
    await this.#flag(setFlagSql(flagOf, AWAKE));
    return true;
  }

  async #wake(): Promise<void> {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    const { flagOf } = this.#options;
    if (flagOf !== undefined) await this.#flag(setFlagSql(flagOf, AWAKE));
  }

  async #flag(text: string): Promise<unknown> {
    if (this.#isFlagLost) return [];
    try {
      return await this.#source.query(text);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code !== UNDEFINED_TABLE) throw classifyPostgres(error, 'setting the flag of a reader that sleeps');
      this.#isFlagLost = true;
      this.#options.onFlagLost?.();
      return [];
    }
  }
}
