import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SEARCH_ATTRIBUTES } from '../../src/domain/search-attributes.js';
import type { ServerContext, Server } from './server.js';
import { findTemporal } from './temporal-program.js';
import { startTlsProxy } from './tls-proxy.js';

const NAMESPACE = 'default';

/** Temporal's development server, with its UI. */
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
    const command = await findTemporal(context);
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
