import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../failure/failure.js';
import { packageRoot } from '../package-root.js';
import type { Server } from './part.js';

const USER = 'default';

/** The real ClickHouse engine (npm `chdb`) behind our HTTP front, as a process of its own. */
export const clickhouseServer: Server<'clickhouse'> = {
  title: 'ClickHouse',
  portNames: ['clickhouse'],
  setting: 'CH_HOST or CH_URL',
  stopSignal: 'SIGTERM',
  // The engine's lock on its folder outlives a killed process by some milliseconds.
  startRetries: 5,

  address: (ports, secrets) => ({
    url: `http://127.0.0.1:${ports.clickhouse}`,
    user: USER,
    password: secrets.clickhouse,
    database: 'default',
  }),

  async prepare(context) {
    // From the build, also for tests that run from source: the front is a program, and Node 20 runs no TypeScript.
    const main = join(packageRoot, 'dist', 'src', 'embedded', 'clickhouse-front', 'main.js');
    if (!existsSync(main)) {
      throw new Failure('Misconfigured', {
        message: `ClickHouse's front is not built: there is no ${main}.`,
        remedy: 'Run npm run build, or set CH_HOST or CH_URL to use a ClickHouse of your own.',
      });
    }
    await mkdir(context.directory, { recursive: true, mode: 0o700 });
    return {
      command: process.execPath,
      args: [main, '--path', context.directory, '--port', String(context.ports.clickhouse), '--user', USER],
      env: {
        ...process.env,
        PG2CLICK_FRONT_PASSWORD: context.secrets.clickhouse,
        // Every running query holds a thread of this pool: with the default of 4, `select 1` waits behind 4 slow ones.
        UV_THREADPOOL_SIZE: '32',
      },
      cwd: context.directory,
    };
  },

  async probe(context) {
    const response = await fetch(`http://127.0.0.1:${context.ports.clickhouse}/ping`, {
      signal: AbortSignal.timeout(5_000),
    });
    const body = await response.text();
    if (body !== 'Ok.\n') throw new Error(`ping answered ${response.status}`);
  },

  async wipe(directory) {
    await rm(directory, { recursive: true, force: true });
  },
};
