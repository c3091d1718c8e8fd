import pg from 'pg';
import type { Log } from '../observe/log.js';
import type { Settings } from '../settings/settings.js';
import { CONNECT_TIMEOUT_MS, explainPostgresConnect } from './explain-postgres.js';
import { readWithoutLoss } from './postgres-types.js';
import { nodeTlsOptions } from './tls.js';

const KEEP_ALIVE_AFTER_MS = 10_000;

/**
 * What every session of ours has, whatever the role or the database sets: given at start-up, so that it costs no round trip
 * and survives a RESET. The formats are what the copies, the drain and the comparison rely on. With row_security off a
 * policy that would hide rows is an error instead of rows that look deleted.
 */
const SESSION = {
  synchronous_commit: 'on',
  DateStyle: 'ISO,YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  row_security: 'off',
  // Operators too are found by it: one that somebody made in a schema of his own must not run as our role.
  search_path: 'pg_catalog,pg_temp',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
} as const;

export interface ConnectPostgresOptions {
  /** Shown in `pg_stat_activity` after "pg2click ". */
  readonly name: string;
  /** Ends the connection when aborted, also while it is being opened. */
  readonly signal?: AbortSignal;
  /** For `START_REPLICATION`: it takes no statement with parameters. Default false. */
  readonly replication?: boolean;
}

/** The settings with which a connection leads to the ledger. */
export function ledgerSettings(settings: Settings): Settings {
  return settings.ledger === undefined ? settings : { ...settings, postgres: settings.ledger };
}

/** The settings with which a connection leads to the server that the WAL is read from. */
export function walSettings(settings: Settings): Settings {
  return settings.wal === undefined ? settings : { ...settings, postgres: settings.wal };
}

/** A short statement that has no answer by then hangs on a connection that died without a word, or at a server that is frozen. */
export const STATEMENT_MS = 30_000;

/** A connection of one's own. `await using` ends it. */
export type PostgresClient = pg.Client & AsyncDisposable;

/**
 * @throws Failure `SourceUnavailable`, `LoginRefused`, `Unauthorized` or `Misconfigured`: a sentence with the address and the setting
 * @throws the signal's reason when aborted
 */
export async function connectPostgres(settings: Settings, options: ConnectPostgresOptions): Promise<PostgresClient> {
  options.signal?.throwIfAborted();
  let passwordAsked = false;
  const password = (): string => {
    passwordAsked = true;
    return settings.postgres.password.reveal();
  };
  // `pg` hands it over at the start-up, and its types do not know it.
  const replication = options.replication === true ? { replication: 'database' } : {};
  const client = new pg.Client({ ...clientConfig(settings, options.name), password, ...replication });
  // A connection that breaks while idle emits this; the next statement on it fails and tells its own story.
  client.on('error', () => undefined);
  // Not end(): that waits for a server that may be frozen. The server notices the closed socket.
  const abort = (): void => {
    socketOf(client)?.destroy();
  };
  options.signal?.addEventListener('abort', abort, { once: true });
  client.once('end', () => options.signal?.removeEventListener('abort', abort));
  const startedAt = Date.now();
  try {
    await client.connect();
  } catch (error) {
    options.signal?.removeEventListener('abort', abort);
    socketOf(client)?.destroy();
    options.signal?.throwIfAborted();
    throw explainPostgresConnect(error, settings, {
      elapsedMs: Date.now() - startedAt,
      passwordAsked,
      replication: options.replication === true,
    });
  }
  return Object.assign(client, { [Symbol.asyncDispose]: () => endPostgres(client) });
}

/** A connection that holds a place from before it is opened until it has ended. @throws what `connect` throws; then the place is free */
export async function connectInPlace(
  place: Disposable,
  connect: () => Promise<PostgresClient>,
): Promise<PostgresClient> {
  try {
    const client = await connect();
    client.once('end', () => place[Symbol.dispose]());
    return client;
  } catch (error) {
    place[Symbol.dispose]();
    throw error;
  }
}

/**
 * `pool.end()` closes it. A statement that waits for a lock gives up after 5 s: a few connections serve many tables, and one
 * that somebody has locked must not hold them all.
 */
export function createPostgresPool(
  settings: Settings,
  options: {
    readonly max: number;
    readonly name?: string;
    /** A statement that is not answered by then fails, and its connection is ended; COPY counts as one too. Default: never. */
    readonly statementMs?: number;
    /** Shared with other pools of the same server; default: the pool's own. */
    readonly idleGroup?: IdleConnectionGroup;
    readonly log?: Log;
  },
): pg.Pool {
  const config = clientConfig(settings, options.name ?? 'pool');
  const pool = new pg.Pool({
    ...config,
    options: `${config.options} -c lock_timeout=5s${serverTimeout(options.statementMs)}`,
    max: options.max,
    idleTimeoutMillis: 60_000,
    ...(options.statementMs === undefined ? {} : { query_timeout: options.statementMs }),
  });
  pool.on('error', (error) => options.log?.debug({ error }, 'an idle connection to postgres broke'));
  // The pool listens only while a connection is idle: one that breaks while it is lent would end the process. Its next statement fails.
  pool.on('connect', (client) => client.on('error', () => undefined));
  (options.idleGroup ?? new IdleConnectionGroup()).join(pool);
  return pool;
}

/** The server does not hear that nobody waits any more: without a limit of its own, what was given up would go on there, and pile up. */
const SERVER_LATER_MS = 2_000;

function serverTimeout(statementMs: number | undefined): string {
  return statementMs === undefined ? '' : ` -c statement_timeout=${statementMs + SERVER_LATER_MS}`;
}

/**
 * Pools whose idle connections are ended together. A connection that died without an error is rarely alone: a firewall forgets all
 * idle ones, and each would cost its next user a time limit. So when one is given up, the idle ones of all these pools are ended.
 * New ones cost milliseconds.
 */
export class IdleConnectionGroup {
  readonly #idle = new Set<pg.PoolClient>();

  join(pool: pg.Pool): void {
    pool.on('acquire', (client) => this.#idle.delete(client));
    pool.on('remove', (client) => this.#idle.delete(client));
    pool.on('release', (error: unknown, client) => {
      if (error === undefined || error === null) this.#idle.add(client);
      // What the server itself has answered came over a connection that lives.
      else if (error instanceof Error && !(error instanceof pg.DatabaseError)) this.endIdle();
    });
  }

  /** To be called when a connection to the same server was given up that is in none of the pools. */
  endIdle(): void {
    for (const client of this.#idle) socketOf(client)?.destroy();
  }
}

function clientConfig(settings: Settings, name: string): pg.ClientConfig {
  const { host, port, database, user, password, tls } = settings.postgres;
  return {
    host,
    port,
    database,
    user,
    // A function: an empty text would let PGPASSWORD and ~/.pgpass speak instead of the settings.
    password: () => password.reveal(),
    ssl: tls === undefined ? false : nodeTlsOptions(tls),
    application_name: `pg2click ${name}`.slice(0, 63),
    options: Object.entries(SESSION)
      .map(([setting, value]) => `-c ${setting}=${value}`)
      .join(' '),
    client_encoding: 'UTF8',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    types: readWithoutLoss,
  };
}

/** Ends a session in order, or cuts it where the server does not take part. */
async function endPostgres(client: pg.Client): Promise<void> {
  const cut = setTimeout(() => socketOf(client)?.destroy(), 2_000);
  try {
    await client.end();
  } catch {
    socketOf(client)?.destroy();
  } finally {
    clearTimeout(cut);
  }
}

function socketOf(client: pg.ClientBase): { destroy(): void } | undefined {
  return (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream;
}
