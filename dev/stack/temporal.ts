import { accessSync, constants } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { SEARCH_ATTRIBUTES } from '../../src/domain/search-attributes.js';
import { Failure } from '../../src/failure/failure.js';
import { cached } from './cache.js';
import type { ServerContext, Server } from './server.js';
import { startTlsProxy } from './tls-proxy.js';
import { isMissingProgram, runTool } from './tool.js';

/** The last version that `go install` accepts: later ones have a replace directive in their go.mod. */
const VERSION = '1.5.1';
const NAMESPACE = 'default';

/** Temporal's development server, with its UI: `temporal` on PATH, else one that is built once into the cache. */
export const temporalServer: Server<'temporal'> = {
  title: 'Temporal',
  portNames: ['temporal', 'temporalPlain', 'temporalUi'],
  setting: 'TEMPORAL_ADDRESS',
  stopSignal: 'SIGTERM',
  startRetries: 0,

  address: (ports, _secrets, ssl) => ({
    address: `127.0.0.1:${ports.temporal}`,
    namespace: NAMESPACE,
    uiUrl: `http://127.0.0.1:${ports.temporalUi}`,
    ...(ssl === undefined ? {} : { ssl }),
  }),

  async prepare(context) {
    const command =
      onPath('temporal') ?? join(await cached(`temporal-${VERSION}`, (to) => build(context, to)), 'temporal');
    await mkdir(context.directory, { recursive: true, mode: 0o700 });
    return {
      command,
      args: [
        'server',
        'start-dev',
        `--db-filename=${join(context.directory, 'temporal.db')}`,
        // Without the write-ahead log every history event waits for a rollback journal of its own.
        '--sqlite-pragma=journal_mode=wal',
        // The log outlives a kill -9 of the server without a flush at every heartbeat; a power failure is none of this stack's.
        '--sqlite-pragma=synchronous=normal',
        '--log-level=warn',
        '--ip=127.0.0.1',
        `--port=${ownPort(context)}`,
        `--ui-port=${context.ports.temporalUi}`,
        ...Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
      ],
      // TEMPORAL_* speak of the user's own server.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'))),
      cwd: context.directory,
    };
  },

  async probe(context) {
    const { Connection } = await import('@temporalio/client');
    const connection = await Connection.connect({
      address: `127.0.0.1:${ownPort(context)}`,
      connectTimeout: 1_000,
    });
    try {
      await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
    } finally {
      await connection.close();
    }
    const page = await fetch(`http://127.0.0.1:${context.ports.temporalUi}/`, { signal: AbortSignal.timeout(2_000) });
    await page.body?.cancel();
  },

  /** The development server cannot serve TLS: a proxy in this process does it. The UI stays without. */
  async startProxy({ ports, tls }) {
    return tls === undefined ? undefined : startTlsProxy({ from: ports.temporal, to: ports.temporalPlain, ...tls });
  },

  async wipe(directory) {
    await rm(directory, { recursive: true, force: true });
  },
};

function ownPort({ ports, tls }: ServerContext): number {
  return tls === undefined ? ports.temporal : ports.temporalPlain;
}

/** Builds the server from its Go module: 3 minutes on 2 cores from an empty module cache, 250 MB. */
async function build(context: ServerContext, directory: string): Promise<void> {
  const say = (text: string) => context.step(`building Temporal ${VERSION} with Go (about 3 minutes, once): ${text}`);
  say('starting');
  const startedAt = Date.now();
  let modules = 0;
  // The compiler says nothing while it works, for the longest server.
  const clock = setInterval(() => {
    const downloads = modules === 0 ? '' : `${modules} modules downloaded, `;
    say(`${downloads}${Math.round((Date.now() - startedAt) / 1_000)} s`);
  }, 1_000);
  try {
    const { code, tail } = await runTool({
      command: 'go',
      args: ['install', `github.com/temporalio/cli/cmd/temporal@v${VERSION}`],
      env: { ...process.env, GOBIN: directory, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' },
      cwd: directory,
      signal: context.signal,
      onLine: (line) => {
        if (line.startsWith('go: downloading')) modules++;
      },
    });
    if (code === 0) return;
    const reason = tail.findLast((line) => !line.startsWith('go: downloading')) ?? 'no message';
    throw new Failure('Misconfigured', {
      message: `Go could not build the Temporal server: ${reason}`,
      remedy:
        'Check the network and that Go is 1.21 or later, put a temporal program on PATH, or set TEMPORAL_ADDRESS to use a server of your own; the other servers do not need it.',
    });
  } catch (error) {
    if (!isMissingProgram(error)) throw error;
    throw new Failure('Misconfigured', {
      message: 'There is no temporal on PATH, and no go to build it with.',
      remedy:
        'Install the Temporal CLI (docs.temporal.io/cli) or Go 1.21 or later, or set TEMPORAL_ADDRESS to use a server of your own; the other servers do not need it.',
    });
  } finally {
    clearInterval(clock);
  }
}

function onPath(program: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    if (directory === '') continue;
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this one
    }
  }
  return undefined;
}
