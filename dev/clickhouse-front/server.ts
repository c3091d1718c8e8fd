import { timingSafeEqual } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { join } from 'node:path';
import { Answer, encodingOf } from './answer.js';
import { BodyCutShort } from './body.js';
import { Engine } from './engine.js';
import { Execution } from './execution.js';
import { asFrontError, frontError } from './front-error.js';
import { parseRequest, type FrontRequest } from './request.js';
import { Stats } from './stats.js';

export interface FrontOptions {
  /** Everything the front keeps: the engine's data, the spool, the pipes. */
  readonly directory: string;
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Statements that run at once; the thread pool must be larger (spooling and gunzip live there, too). */
  readonly slots: number;
  /** PEM; HTTPS instead of HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** A file with what a server reads from its `config.xml`; undefined for the engine's defaults. */
  readonly config: string | undefined;
}

// Idle connections live longer than the client keeps its own (2.5 s), so it is never surprised by a reset.
const KEEP_ALIVE_MS = 10_000;
// A running query looks for its cancellation every 0.1 s or so.
const CANCEL_MS = 3_000;
// A server takes URLs of up to a megabyte: settings and parameters travel there.
const MAX_HEADER_BYTES = 1024 * 1024;

/**
 * A ClickHouse server's HTTP interface over the engine in this process. Invariant: an insert is answered 200 only after
 * its part is in the data directory, and the engine sees only bodies that arrived completely.
 */
export class Front {
  readonly stats = new Stats();
  readonly #options: FrontOptions;
  readonly #engine: Engine;
  readonly #execution: Execution;
  readonly #server: Server;

  private constructor(options: FrontOptions, engine: Engine) {
    this.#options = options;
    this.#engine = engine;
    this.#execution = new Execution(engine, this.stats, join(options.directory, 'spool'), options.slots);
    const settings = { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: 0 };
    const serve = (message: IncomingMessage, response: ServerResponse): void => void this.#serve(message, response);
    this.#server =
      options.tls === undefined
        ? createServer(settings, serve)
        : createSecureServer({ ...settings, ...options.tls }, serve);
  }

  /**
   * Opens the data directory and listens.
   *
   * @throws Error one sentence: the directory is in use, the port is taken
   */
  static async start(options: FrontOptions): Promise<Front> {
    const data = join(options.directory, 'data');
    mkdirSync(data, { recursive: true });
    // The engine's lock comes first: the spool is emptied only by the one who holds it.
    const front = new Front(options, await Engine.start(data, options.config));
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void => {
        const where = `${options.host}:${options.port}`;
        reject(new Error(`Cannot listen on ${where} (${error.message}): choose another --port`, { cause: error }));
      };
      front.#server.once('error', refuse).listen(options.port, options.host, resolve);
    });
    return front;
  }

  get url(): string {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : this.#options.port;
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.#options.host}:${port}`;
  }

  get version(): string {
    return this.#engine.identity.version;
  }

  /**
   * Stops accepting, waits for the requests in flight for at most `graceMs`, and cancels what is left.
   *
   * @returns whether nothing runs any more: the engine cannot be unloaded under a statement
   */
  async stop(graceMs: number): Promise<boolean> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const quiet = Promise.allSettled(this.#execution.running.all().map(async (running) => running.done)).then(
      async () => {
        // Answers are on their way out; then nothing keeps the connections.
        setImmediate(() => this.#server.closeIdleConnections());
        await closed;
      },
    );
    await within(graceMs, quiet);
    const left = this.#execution.running.all();
    const cancelled = left.map(async (running) => Promise.all([running.cancel(), running.done]));
    return within(CANCEL_MS, Promise.allSettled(cancelled));
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    // An aborted body is told by its reader; without a listener the error would end the process.
    message.on('error', () => undefined);
    response.on('error', () => undefined);
    let answer = new Answer(response, this.#engine.identity, '', undefined);
    try {
      const path = new URL(message.url ?? '/', 'http://front').pathname;
      if (path === '/ping' || path === '/replicas_status') return sendText(response, 200, 'Ok.\n');
      if (path === '/pg2click/stats') return this.#sendStats(response);
      if (path !== '/')
        return sendText(response, 404, `There is no handle ${path}\n\nUse / or /ping for health checks.\n`);
      const request = parseRequest(message);
      if (message.method === 'GET' && request.query === undefined) return sendText(response, 200, 'Ok.\n');
      const encoding = request.compressResponse ? encodingOf(message.headers['accept-encoding']) : undefined;
      answer = new Answer(response, this.#engine.identity, request.queryId, encoding);
      this.#authenticate(request);
      await this.#execution.answer(message, request, answer);
    } catch (error) {
      if (error instanceof BodyCutShort) {
        this.stats.cutShort();
        response.destroy();
        return;
      }
      this.stats.failed();
      if (!response.destroyed) answer.fail(asFrontError(error));
    }
  }

  #authenticate({ user, password }: FrontRequest): void {
    const given = Buffer.from(JSON.stringify([user, password]));
    const wanted = Buffer.from(JSON.stringify([this.#options.user, this.#options.password]));
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
    throw frontError(
      'AUTHENTICATION_FAILED',
      `${user}: Authentication failed: password is incorrect, or there is no user with such name`,
    );
  }

  #sendStats(response: ServerResponse): void {
    const report = this.stats.report({ running: this.#execution.running.size, queued: this.#execution.queued });
    response.writeHead(200, { 'Content-Type': 'application/json; charset=UTF-8' });
    response.end(`${JSON.stringify(report)}\n`);
  }
}

/** Whether `work` was done within a time. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=UTF-8' });
  response.end(text);
}
