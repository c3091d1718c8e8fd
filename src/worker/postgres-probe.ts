import type { Queryable } from '../connect/queryable.js';
import { connectPostgres, type PostgresClient } from '../connect/postgres.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import type { Failure } from '../failure/failure.js';
import type { Settings } from '../settings/settings.js';
import type { Probe } from './server-watch.js';

/** One session, kept while it answers. What is asked of it is asked one after the other. */
export class PostgresProbe implements Probe {
  readonly #settings: Settings;
  readonly #answerMs: number;
  readonly #silent: (ms: number) => Failure;
  readonly #explain: (failure: Failure) => Failure;
  #session: { readonly client: PostgresClient; readonly end: AbortController } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @param silent the failure where it does not answer for so long; @param explain what another failure is here */
  constructor(
    settings: Settings,
    answerMs: number,
    silent: (ms: number) => Failure,
    explain: (failure: Failure) => Failure = (failure) => failure,
  ) {
    this.#settings = settings;
    this.#answerMs = answerMs;
    this.#silent = silent;
    this.#explain = explain;
  }

  async probe(): Promise<void> {
    await this.run((pg) => pg.query('select 1'));
  }

  /** @throws Failure where it does not answer */
  run<T>(work: (pg: Queryable) => Promise<T>): Promise<T> {
    const running = this.#last.then(() => this.#run(work));
    this.#last = running.catch(() => undefined);
    return running;
  }

  async close(): Promise<void> {
    await this.#session?.client[Symbol.asyncDispose]();
  }

  async #run<T>(work: (pg: Queryable) => Promise<T>): Promise<T> {
    const end = this.#session?.end ?? new AbortController();
    const timer = setTimeout(() => end.abort(this.#silent(this.#answerMs)), this.#answerMs);
    try {
      this.#session ??= {
        client: await connectPostgres(this.#settings, { name: 'health', signal: end.signal }),
        end,
      };
      return await work(this.#session.client);
    } catch (error) {
      this.#session = undefined;
      end.signal.throwIfAborted();
      end.abort();
      throw this.#explain(classifyPostgres(error, 'looking whether it answers'));
    } finally {
      clearTimeout(timer);
    }
  }
}
