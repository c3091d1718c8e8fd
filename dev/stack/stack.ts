import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Failure } from '../../src/failure/failure.js';
import { identify, isAlive } from '../../src/settings/process-identity.js';
import { SERVER_NAMES, type ServerName } from '../../src/settings/server-name.js';
import { endProcess, signalProcess, type Child } from './child.js';
import { ensureCertificates } from './certificates.js';
import { clickhouseServer } from './clickhouse.js';
import { kafkaServer } from './kafka.js';
import { describeExit, launchServer } from './launch.js';
import {
  type Certificates,
  type Closable,
  type ServerContext,
  type Ports,
  type Server,
  type StackAddresses,
  type StackEvent,
  type StackTls,
} from './server.js';
import { choosePorts } from './port.js';
import { postgresServer } from './postgres.js';
import { newSecrets, readStackFile, writeStackFile, type StackFile } from './stack-file.js';
import { temporalServer } from './temporal.js';

export { type Ports, type StackAddresses, type StackEvent } from './server.js';
export { readStackFile, type StackFile } from './stack-file.js';

export const SERVERS: { readonly [P in ServerName]: Server<P> } = {
  postgres: postgresServer,
  kafka: kafkaServer,
  clickhouse: clickhouseServer,
  temporal: temporalServer,
};

/** Signals that a process survives or that only freeze and thaw it. */
const GENTLE_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGSTOP', 'SIGCONT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']);

export interface StackOptions {
  /** Holds all data, logs and `stack.json`; made when missing. */
  readonly stateDir: string;
  /** What to start; all by default. */
  readonly servers?: readonly ServerName[];
  /** Ports to use instead of those remembered or free. */
  readonly ports?: Partial<Ports>;
  /** Servers of the user's own: used as they are, not started. */
  readonly external?: Partial<StackAddresses>;
  /** Removes the data of the servers that are started. */
  readonly reset?: boolean;
  /**
   * Every server over TLS only, with certificates of an authority of the state folder's own; Kafka asks for a user as well.
   * Default false.
   */
  readonly secure?: boolean;
  readonly report: (event: StackEvent) => void;
  /** Aborting it while the stack starts ends what was started. Later it has no effect: `stop` is for that. */
  readonly signal?: AbortSignal;
}

/** A running stack. Each operation on a server waits for the one before. */
export interface Stack {
  readonly stateDir: string;
  /** Of every server; one that was neither started nor given has nothing listening at its address. */
  readonly addresses: StackAddresses;
  /** The server's pid, while it runs. */
  pid(server: ServerName): number | undefined;
  /** Sends a signal; unless it is one that a server survives, resolves once the server is gone. `SIGQUIT` is PostgreSQL's immediate stop. */
  kill(server: ServerName, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a server that is not running, on its state and at its old address, and resolves when it answers. */
  start(server: ServerName): Promise<void>;
  /** An orderly stop and a start. */
  restart(server: ServerName): Promise<void>;
  /** An orderly stop of all that this stack started. The state stays. */
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL, Kafka, ClickHouse and Temporal on the state of a folder, and resolves when all answer.
 *
 * Invariant: every process it starts is in `stack.json`, by pid and start time, before anything else happens; so after a
 * `kill -9` of this process the next start on the folder finds and ends them, and never another process that has got the pid.
 *
 * @throws Misconfigured when a program is missing, a port is taken, a server gives up, or another process holds the folder's
 * stack; the signal's reason when aborted. Nothing that it started is left running then.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack = new LocalStack(options, await claim(options));
  const servers = (options.servers ?? SERVER_NAMES).filter((server) => options.external?.[server] === undefined);
  for (const server of SERVER_NAMES) {
    if (options.external?.[server] !== undefined)
      options.report({ kind: 'ready', server, elapsedMs: 0, external: true });
  }
  const results = await Promise.allSettled(servers.map((server) => stack.start(server)));
  const failures = results.filter((result) => result.status === 'rejected');
  const [first] = failures;
  if (first !== undefined) {
    await stack.stop();
    options.signal?.throwIfAborted();
    throw first.reason;
  }
  stack.settle();
  return stack;
}

/** Ends what an earlier run left, wipes on request, chooses ports, and writes us down as the owner. */
async function claim(options: StackOptions): Promise<Claim> {
  const stateDir = resolve(options.stateDir);
  mkdirSync(stateDir, { recursive: true });
  // Root's servers may run as another user, who must pass through; what is inside is closed by itself.
  if (process.getuid?.() === 0) chmodSync(stateDir, 0o711);
  const before = readStackFile(stateDir);
  if (before?.owner !== undefined && isAlive(before.owner)) {
    throw new Failure('Misconfigured', {
      message: `Process ${before.owner.pid} already runs a local stack on ${stateDir}.`,
      remedy: 'Use that one, stop it first, or choose another state folder.',
    });
  }
  const stray = before === undefined ? SERVER_NAMES.find((server) => existsSync(join(stateDir, server))) : undefined;
  if (stray !== undefined) {
    // Maybe not ours at all: neither used nor wiped.
    throw new Failure('Misconfigured', {
      message: `${stateDir} has a folder ${stray} but no stack.json, so it is not the state of a local stack.`,
      remedy: 'Choose another state folder, or remove that one if nothing in it is wanted.',
    });
  }
  if (before !== undefined) await endChildren(before, options.report);
  const servers = (options.servers ?? SERVER_NAMES).filter((server) => options.external?.[server] === undefined);
  const secrets = { ...newSecrets(), ...before?.secrets };
  if (options.reset === true) {
    await Promise.all(servers.map((server) => SERVERS[server].wipe(join(stateDir, server), secrets)));
  }
  const ports = await choosePorts(options.ports ?? {}, before?.ports ?? {});
  const owner = identify(process.pid);
  const tls = options.secure === true ? await ensureCertificates(stateDir) : undefined;
  const addresses = Object.fromEntries(
    servers.map((server) => [server, SERVERS[server].address(ports, secrets, shown(tls))]),
  );
  const file = { ...(owner === undefined ? {} : { owner }), children: {}, ports, secrets, addresses };
  writeStackFile(stateDir, file);
  return { file, tls };
}

interface Claim {
  readonly file: StackFile & { readonly ports: Ports };
  readonly tls: Certificates | undefined;
}

/** What clients see of it. */
function shown(tls: Certificates | undefined): StackTls | undefined {
  return tls === undefined ? undefined : { ca: tls.ca, caFile: tls.caFile };
}

/**
 * Ends what a killed run left on a state folder.
 * @returns false when the folder's stack is still held by a live process, and was left alone
 */
export async function endOrphans(stateDir: string): Promise<boolean> {
  const file = readStackFile(stateDir);
  if (file?.owner !== undefined && isAlive(file.owner)) return false;
  if (file !== undefined) await endChildren(file, () => undefined);
  return true;
}

async function endChildren(file: StackFile, report: (event: StackEvent) => void): Promise<void> {
  await Promise.all(
    SERVER_NAMES.map(async (server) => {
      const orphan = file.children[server];
      if (orphan === undefined || !isAlive(orphan)) return;
      const { title, stopSignal } = SERVERS[server];
      report({ kind: 'note', server, text: `ending ${title} of a run that was killed (pid ${orphan.pid})` });
      await endProcess(orphan, stopSignal);
    }),
  );
}

class LocalStack implements Stack {
  readonly stateDir: string;
  readonly addresses: StackAddresses;
  readonly #options: StackOptions;
  readonly #running = new Map<ServerName, Child>();
  /** The last operation on each server, which the next one waits for. */
  readonly #busy = new Map<ServerName, Promise<unknown>>();
  readonly #proxies = new Map<ServerName, Closable>();
  readonly #tls: Certificates | undefined;
  #file: StackFile & { readonly ports: Ports };
  /** Ends starts that are under way when the stack stops. */
  readonly #stopping = new AbortController();
  #stopped: Promise<void> = Promise.resolve();
  /** Until all servers have started once, the caller's signal counts too. */
  #signal: AbortSignal;

  constructor(options: StackOptions, { file, tls }: Claim) {
    this.#options = options;
    this.#file = file;
    this.#tls = tls;
    const own = this.#stopping.signal;
    this.#signal = options.signal === undefined ? own : AbortSignal.any([own, options.signal]);
    this.stateDir = resolve(options.stateDir);
    const { ports, secrets } = file;
    const trust = shown(tls);
    this.addresses = {
      postgres: options.external?.postgres ?? SERVERS.postgres.address(ports, secrets, trust),
      kafka: options.external?.kafka ?? SERVERS.kafka.address(ports, secrets, trust),
      clickhouse: options.external?.clickhouse ?? SERVERS.clickhouse.address(ports, secrets, trust),
      temporal: options.external?.temporal ?? SERVERS.temporal.address(ports, secrets, trust),
    };
    process.once('exit', this.#onProcessExit);
  }

  /** The start is over: from here its signal means nothing. */
  settle(): void {
    this.#signal = this.#stopping.signal;
  }

  pid(server: ServerName): number | undefined {
    return this.#running.get(server)?.identity.pid;
  }

  start(server: ServerName): Promise<void> {
    return this.#queued(server, () => this.#start(server));
  }

  async kill(server: ServerName, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (GENTLE_SIGNALS.has(signal)) {
      const child = this.#running.get(server);
      if (child !== undefined) signalProcess(child.identity, signal);
      return;
    }
    await this.#queued(server, () => this.#end(server, signal));
  }

  restart(server: ServerName): Promise<void> {
    return this.#queued(server, async () => {
      await this.#end(server, SERVERS[server].stopSignal);
      await this.#start(server);
    });
  }

  stop(): Promise<void> {
    // A second stop must not touch the folder, which may be another stack's by now.
    if (this.#stopping.signal.aborted) return this.#stopped;
    this.#stopping.abort();
    this.#stopped = this.#endAll();
    return this.#stopped;
  }

  async #endAll(): Promise<void> {
    await Promise.all(
      SERVER_NAMES.map((server) =>
        this.#queued(server, () => this.#end(server, SERVERS[server].stopSignal)).catch(() => undefined),
      ),
    );
    process.removeListener('exit', this.#onProcessExit);
    const { owner: _released, ...file } = this.#file;
    this.#file = { ...file, children: {} };
    writeStackFile(this.stateDir, this.#file);
  }

  async #start(server: ServerName): Promise<void> {
    if (this.#running.has(server) || this.#stopping.signal.aborted) return;
    const { report } = this.#options;
    const startedAt = Date.now();
    const context: ServerContext = {
      directory: join(this.stateDir, server),
      ports: this.#file.ports,
      secrets: this.#file.secrets,
      tls: this.#tls,
      signal: this.#signal,
      step: (text) => report({ kind: 'step', server, text }),
      note: (text) => report({ kind: 'note', server, text }),
    };
    try {
      const logFile = join(this.stateDir, 'logs', `${server}.log`);
      const child = await launchServer(SERVERS[server], context, logFile, (spawned) => this.#remember(server, spawned));
      const proxy = await SERVERS[server].startProxy?.(context);
      if (proxy !== undefined) this.#proxies.set(server, proxy);
      void child.exited.then((exit) => {
        if (this.#running.get(server) !== child) return;
        void this.#closeProxy(server);
        this.#forget(server);
        report({
          kind: 'died',
          server,
          text: `${SERVERS[server].title} ${describeExit(exit)}; its log is ${child.logFile}`,
        });
      });
    } catch (error) {
      this.#forget(server);
      if (!this.#signal.aborted) {
        report({ kind: 'failed', server, text: error instanceof Error ? error.message : String(error) });
      }
      throw error;
    }
    report({ kind: 'ready', server, elapsedMs: Date.now() - startedAt, external: false });
  }

  async #end(server: ServerName, signal: NodeJS.Signals): Promise<void> {
    const child = this.#running.get(server);
    if (child === undefined) return;
    this.#running.delete(server); // its end is no surprise now
    await this.#closeProxy(server);
    await endProcess(child.identity, signal);
    this.#forget(server);
    this.#options.report({ kind: 'stopped', server });
  }

  async #closeProxy(server: ServerName): Promise<void> {
    const proxy = this.#proxies.get(server);
    this.#proxies.delete(server);
    await proxy?.close();
  }

  #queued<T>(server: ServerName, operation: () => Promise<T>): Promise<T> {
    const result = (this.#busy.get(server) ?? Promise.resolve()).then(operation, operation);
    this.#busy.set(
      server,
      result.catch(() => undefined),
    );
    return result;
  }

  #remember(server: ServerName, child: Child): void {
    this.#running.set(server, child);
    this.#file = { ...this.#file, children: { ...this.#file.children, [server]: child.identity } };
    writeStackFile(this.stateDir, this.#file);
  }

  #forget(server: ServerName): void {
    this.#running.delete(server);
    const { [server]: _gone, ...children } = this.#file.children;
    this.#file = { ...this.#file, children };
    writeStackFile(this.stateDir, this.#file);
  }

  /** A process that exits without `stop`, as after an uncaught exception, still asks its servers to stop. */
  readonly #onProcessExit = (): void => {
    for (const [server, child] of this.#running) signalProcess(child.identity, SERVERS[server].stopSignal);
  };
}
