import { randomUUID } from 'node:crypto';
import type { Engine } from './engine.js';
import { frontError } from './front-error.js';

/** A query from its arrival to its answer. */
export interface Running {
  readonly queryId: string;
  /** A comment in the statement's text: the engine gives out ids of its own, so this is how it is found again. */
  readonly mark: string;
  readonly done: Promise<void>;
  cancel(): Promise<void>;
  finish(): void;
}

/** The queries in flight, by the id that the client gave them. */
export class RunningQueries {
  readonly #engine: Engine;
  readonly #byId = new Map<string, Running>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** @throws FrontError QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING */
  begin(queryId: string): Running {
    if (this.#byId.has(queryId))
      throw frontError('QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING', `Query with id = ${queryId} is already running`);
    const mark = `/* front ${randomUUID()} */`;
    const { promise, resolve } = deferred();
    const running: Running = {
      queryId,
      mark,
      done: promise,
      cancel: async () => this.#engine.kill(mark),
      finish: () => {
        this.#byId.delete(queryId);
        resolve();
      },
    };
    this.#byId.set(queryId, running);
    return running;
  }

  find(queryId: string): Running | undefined {
    return this.#byId.get(queryId);
  }

  all(): readonly Running[] {
    return [...this.#byId.values()];
  }
}

// Promise.withResolvers needs Node 22.
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
