import { setTimeout as sleep } from 'node:timers/promises';
import { addressTable, showProgress } from './progress.js';
import { startDevRegistry } from './dev-registry.js';
import type { Registry } from './registry.js';
import { SERVER_NAMES, type ServerName } from '../../src/settings/server-name.js';
import { startStack, type Ports, type Stack, type StackAddresses, type StackEvent } from './stack.js';

const FIRST_RESTART_MS = 500;
const LAST_RESTART_MS = 30_000;
/** A server that ran this long before it died starts the back-off again at its beginning. */
const STABLE_MS = 60_000;

export interface DevOptions {
  readonly stateDir: string;
  /** Start with empty servers. */
  readonly reset?: boolean | undefined;
  /** Over TLS only, as `startStack` says. */
  readonly secure?: boolean | undefined;
  /** False: no Kafka is started. Default true. */
  readonly kafka?: boolean | undefined;
  /** True: a schema registry too. Default false. */
  readonly registry?: boolean | undefined;
  readonly ports?: Partial<Ports> | undefined;
  /** Servers of the user's own, by the settings: used, not started, not stopped. */
  readonly external?: Partial<StackAddresses> | undefined;
  readonly out?: NodeJS.WriteStream | undefined;
}

/**
 * The local stack in the foreground: starts what is not external, shows the addresses, starts again what dies, and returns after
 * Ctrl-C, SIGTERM or SIGHUP, when all it started has stopped. A second Ctrl-C does not wait for that.
 * @throws Misconfigured as `startStack`
 */
export async function runDev(options: DevOptions): Promise<void> {
  const out = options.out ?? process.stdout;
  const external = new Set(SERVER_NAMES.filter((server) => options.external?.[server] !== undefined));
  const servers = SERVER_NAMES.filter((server) => server !== 'kafka' || options.kafka !== false);
  const asked = new AbortController();
  const onSignal = () => {
    if (asked.signal.aborted) process.exit(130);
    out.write('\nstopping; once more to leave at once\n');
    asked.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);

  const progress = showProgress(out);
  let registry: Registry | undefined;
  const revive = reviver(asked.signal, out);
  try {
    const stack = await startStack({
      stateDir: options.stateDir,
      servers,
      ports: options.ports ?? {},
      external: options.external ?? {},
      reset: options.reset ?? false,
      secure: options.secure ?? false,
      signal: asked.signal,
      report: (event) => {
        progress.report(event);
        revive.on(event);
      },
    }).finally(progress.close);
    revive.of(stack);
    registry = options.registry === true ? await withRegistry(stack, options, asked.signal) : undefined;
    out.write(`\n${addressTable(stack, { servers, external })}\n`);
    out.write(
      `\nState, logs and passwords (stack.json) are in ${stack.stateDir}. Ctrl-C stops it all; the state stays.\n`,
    );
    if (registry !== undefined) out.write(`\nFor messages in Avro set SCHEMA_REGISTRY_URL=${registry.url}\n`);
    await aborted(asked.signal);
    await Promise.all([registry?.stop(), stack.stop()]);
  } catch (error) {
    if (!asked.signal.aborted) throw error;
  } finally {
    for (const signal of signals) process.removeListener(signal, onSignal);
  }
}

async function withRegistry(stack: Stack, options: DevOptions, signal: AbortSignal): Promise<Registry> {
  try {
    return await startDevRegistry(stack.stateDir, options, signal);
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

/** Starts again what died, after a pause that doubles up to 30 s while it keeps dying. */
function reviver(asked: AbortSignal, out: NodeJS.WriteStream) {
  let stack: Stack | undefined;
  const early = new Set<ServerName>();
  const attempts = new Map<ServerName, { readonly pauseMs: number; readonly at: number }>();
  const revive = async (server: ServerName): Promise<void> => {
    if (stack === undefined) return void early.add(server);
    const before = attempts.get(server);
    const pauseMs =
      before === undefined || Date.now() - before.at > STABLE_MS
        ? FIRST_RESTART_MS
        : Math.min(before.pauseMs * 2, LAST_RESTART_MS);
    attempts.set(server, { pauseMs, at: Date.now() + pauseMs });
    try {
      await sleep(pauseMs, undefined, { signal: asked });
      await stack.start(server);
    } catch {
      // Its start was reported as failed.
      if (!asked.aborted) await revive(server);
    }
  };
  const begin = (server: ServerName) => void revive(server).catch((error: unknown) => out.write(`${String(error)}\n`));
  return {
    on: (event: StackEvent) => {
      if (event.kind === 'died') begin(event.server);
    },
    /** What died while others were still starting is started now. */
    of: (started: Stack) => {
      stack = started;
      early.forEach(begin);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
