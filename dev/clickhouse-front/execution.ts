import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { summaryOf, type Answer } from './answer.js';
import { BodyReader, readDecoded } from './body.js';
import { decompress, engineEncodingOf } from './decompress.js';
import { run, type Engine } from './engine.js';
import { Pipes } from './fifo.js';
import { frontError } from './front-error.js';
import { fitsInStatement, insertBody } from './insert.js';
import { killedQuery, type KillRequest } from './kill.js';
import { readQuery, type Asked } from './query-text.js';
import type { FrontRequest, SessionRequest } from './request.js';
import { sendWhole, streamResult } from './result.js';
import { RunningQueries, type Running } from './running.js';
import { KeptSessions, SessionPool, type Lease } from './session.js';
import { insertSettings, preludeOf, type Prelude } from './settings.js';
import { Semaphore } from '../../src/connect/semaphore.js';
import { Spool } from './spool.js';
import type { Stats } from './stats.js';

/** A statement that waits for a slot waits as long as its client does. */
const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);

/** Of a statement of ours: it wants nothing of the session. */
const NO_PRELUDE = preludeOf({ database: undefined, roles: [], settings: new Map(), parameters: new Map() });

/** The last step of an answer: only when session and query id are free again may the client know, and come back. */
type Send = () => void;

/** Statements, from a request that may run them to its answer. */
export class Execution {
  readonly running: RunningQueries;
  /**
   * Each call into the engine holds a thread of libuv's pool until it is done; with all of them taken, spooling and gunzip could not
   * run, and streaming inserts would wait for each other for ever.
   */
  readonly #slots: Semaphore;
  #queued = 0;
  readonly #stats: Stats;
  readonly #pool: SessionPool;
  readonly #kept: KeptSessions;
  readonly #spool: Spool;
  readonly #pipes: Pipes;

  /** @param spool a folder of its own, which is emptied */
  constructor(engine: Engine, stats: Stats, spool: string, slots: number) {
    this.#stats = stats;
    this.running = new RunningQueries(engine);
    this.#slots = new Semaphore(slots);
    this.#pool = new SessionPool(engine);
    this.#kept = new KeptSessions(engine);
    this.#spool = new Spool(spool);
    this.#pipes = new Pipes(this.#spool.directory, slots);
  }

  /** Statements that wait for a slot. */
  get queued(): number {
    return this.#queued;
  }

  /** @throws FrontError, the engine's error, BodyCutShort; the answer may have begun */
  async answer(message: IncomingMessage, request: FrontRequest, answer: Answer): Promise<void> {
    const body = await this.#openBody(message);
    try {
      (await this.#answerBody(message, request, answer, body))();
    } finally {
      body.close();
    }
  }

  async #answerBody(message: IncomingMessage, request: FrontRequest, answer: Answer, body: BodyReader): Promise<Send> {
    const asked = await readQuery(message, request, body);
    refuseWrites(request, asked);
    const running = this.running.begin(request.queryId);
    try {
      const statement = await killedQuery(asked.statement, async (kill) => this.#kill(kill));
      return await this.#run({ ...asked, statement }, request, answer, running, body);
    } finally {
      running.finish();
    }
  }

  /** The query may be in the body too, so a body that only the engine can read is decompressed before anything else. */
  async #openBody(message: IncomingMessage): Promise<BodyReader> {
    const encoding = engineEncodingOf(message);
    if (encoding === undefined) return readDecoded(message);
    const compressed = await this.#spool.storeFile(new BodyReader(message));
    try {
      const source = await this.#withSession(undefined, NO_PRELUDE, true, async ({ session }) =>
        decompress(session, encoding, compressed.path, this.#spool.reserve()),
      );
      return new BodyReader(message, source);
    } finally {
      compressed.remove();
    }
  }

  async #run(asked: Asked, request: FrontRequest, answer: Answer, running: Running, body: BodyReader): Promise<Send> {
    const { statement } = asked;
    const asking = { ...request, parameters: new Map([...request.parameters, ...asked.formParameters]) };
    const defaultFormat = request.defaultFormat ?? 'TabSeparated';
    switch (statement.kind) {
      case 'output': {
        this.#stats.query();
        const gone = goneSignal(answer.response);
        return this.#withSession(request.session, preludeOf(asking), true, async ({ session }) => {
          if (gone.aborted) return () => undefined;
          const options = { session, statement, defaultFormat, running, answer, gone };
          if (request.waitEndOfQuery) return sendWhole(options, this.#spool.reserve());
          const pipe = this.#pipes.open();
          try {
            return await streamResult(options, pipe);
          } finally {
            pipe.release();
            if (gone.aborted) this.#stats.cancelled();
          }
        });
      }
      case 'data-insert':
      case 'input-insert': {
        const complete = await this.#spool.store(asked.dataHead, body, (small) =>
          fitsInStatement(statement, request.settings, small),
        );
        try {
          const settings = insertSettings(request.settings);
          return await this.#withSession(
            request.session,
            preludeOf({ ...asking, settings }),
            true,
            async ({ session }) => {
              const outcome = await insertBody(session, statement, complete, running);
              this.#acknowledge(statement.table, request, outcome.rows, complete.bytes);
              return () => answer.whole(undefined, summaryOf(outcome, true), new Uint8Array());
            },
          );
        } finally {
          if ('path' in complete) complete.remove();
        }
      }
      case 'command': {
        this.#stats.query();
        return this.#withSession(
          request.session,
          preludeOf(asking),
          statement.effect !== 'session',
          async ({ session }) => {
            const outcome = await run(session, `${statement.sql}\n${running.mark}`, defaultFormat);
            const { table, format = defaultFormat } = statement;
            this.#acknowledge(table, request, outcome.rows, 0);
            return () => answer.whole(format, summaryOf(outcome, table !== undefined), outcome.output);
          },
        );
      }
    }
  }

  async #withSession<T>(
    kept: SessionRequest | undefined,
    prelude: Prelude,
    clean: boolean,
    work: (lease: Lease) => Promise<T>,
  ): Promise<T> {
    this.#queued += 1;
    using _slot = await this.#slots.acquire({ signal: NEVER }).finally(() => (this.#queued -= 1));
    const lease = kept === undefined ? await this.#pool.lease(prelude) : await this.#kept.lease(kept, prelude);
    let fine = false;
    try {
      const result = await work(lease);
      fine = true;
      return result;
    } finally {
      await lease.end(fine && clean);
    }
  }

  #acknowledge(table: string | undefined, request: FrontRequest, rows: number, bytes: number): void {
    if (table === undefined) return;
    this.#stats.acknowledge(table.includes('.') ? table : `${request.database ?? 'default'}.${table}`, rows, bytes);
  }

  async #kill(kill: KillRequest): Promise<boolean> {
    const running = this.running.find(kill.queryId);
    if (running === undefined) return false;
    await running.cancel();
    if (kill.wait) await running.done;
    return true;
  }
}

function refuseWrites({ method }: FrontRequest, { statement }: Asked): void {
  if (
    method === 'POST' ||
    statement.kind === 'output' ||
    (statement.kind === 'command' && statement.effect === 'session')
  )
    return;
  throw frontError(
    'READONLY',
    'Cannot execute query in readonly mode: over HTTP, only the method POST may modify data',
  );
}

/** Aborted when the connection closes before the answer is complete. */
function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const check = (): void => {
    if (!response.writableFinished) controller.abort();
  };
  if (response.destroyed) controller.abort();
  else response.once('close', check);
  return controller.signal;
}
