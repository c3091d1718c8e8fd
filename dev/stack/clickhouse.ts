import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Failure } from '../../src/failure/failure.js';
import { packageRoot } from '../../src/package-root.js';
import type { ServerContext, Server } from './server.js';

const USER = 'default';

/** The real ClickHouse engine (npm `chdb`) behind our HTTP front, as a process of its own. */
export const clickhouseServer: Server<'clickhouse'> = {
  title: 'ClickHouse',
  portNames: ['clickhouse'],
  setting: 'CH_HOST or CH_URL',
  stopSignal: 'SIGTERM',
  // The engine's lock on its folder outlives a killed process by some milliseconds.
  startRetries: 5,

  address: (ports, secrets, ssl) => ({
    url: `${ssl === undefined ? 'http' : 'https'}://127.0.0.1:${ports.clickhouse}`,
    user: USER,
    password: secrets.clickhouse,
    database: 'default',
    ...(ssl === undefined ? {} : { ssl }),
  }),

  async prepare(context) {
    // From the build, also for tests that run from source: the front is a program, and Node 20 runs no TypeScript.
    const main = join(packageRoot, 'dist', 'dev', 'clickhouse-front', 'main.js');
    if (!existsSync(main)) {
      throw new Failure('Misconfigured', {
        message: `ClickHouse's front is not built: there is no ${main}.`,
        remedy: 'Run npm run build, or set CH_HOST or CH_URL to use a ClickHouse of your own.',
      });
    }
    await mkdir(context.directory, { recursive: true, mode: 0o700 });
    return {
      command: process.execPath,
      args: [
        main,
        '--path',
        context.directory,
        '--port',
        String(context.ports.clickhouse),
        '--user',
        USER,
        ...(await writeTls(context)),
      ],
      env: {
        ...process.env,
        PG2CLICK_FRONT_PASSWORD: context.secrets.clickhouse,
        // Every running query holds a thread of this pool: with the default of 4, `select 1` waits behind 4 slow ones.
        UV_THREADPOOL_SIZE: '32',
      },
      cwd: context.directory,
    };
  },

  async probe({ ports, tls }) {
    const options = { host: '127.0.0.1', port: ports.clickhouse, path: '/ping', agent: false, timeout: 5_000 };
    const request = tls === undefined ? get(options) : getSecure({ ...options, ca: tls.ca });
    request.once('timeout', () => request.destroy(new Error('ping was not answered')));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const answer = await text(response);
    if (answer !== 'Ok.\n') throw new Error(`ping answered ${response.statusCode}`);
  },

  async wipe(directory) {
    await rm(directory, { recursive: true, force: true });
  },
};

/** The files of a secure stack's front, and the arguments that name them. */
async function writeTls({ directory, tls }: ServerContext): Promise<string[]> {
  if (tls === undefined) return [];
  const [cert, key] = [join(directory, 'server.pem'), join(directory, 'server.key')];
  await writeFile(cert, tls.cert);
  await writeFile(key, tls.key, { mode: 0o600 });
  return ['--tls-cert', cert, '--tls-key', key];
}
