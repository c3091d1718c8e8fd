import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { Failure } from '../failure/failure.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import type { Settings } from '../settings/settings.js';
import { explainNetworkError, nameSettings } from './unreachable.js';

export interface ConnectClickHouseOptions {
  /** How long a request may take, milliseconds. Default 5 minutes: an insert may wait for merges. */
  readonly requestTimeoutMs?: number;
  /** Requests at once. Default 64: the client's own 10 would let two slow tables hold up the others. */
  readonly connections?: number;
}

/** Opens nothing yet. `close()` ends its idle connections. */
export function connectClickHouse(settings: Settings, options: ConnectClickHouseOptions = {}): ClickHouseClient {
  const { url, database, user, password } = settings.clickhouse;
  return createClient({
    url,
    database,
    username: user,
    password: password.reveal(),
    application: 'pg2click',
    request_timeout: options.requestTimeoutMs ?? 5 * 60_000,
    max_open_connections: options.connections ?? 64,
    // Below the 3 seconds of the shortest-lived servers, and checked at each use: a socket that the server closed at the
    // same moment would turn an insert into one of unknown outcome.
    keep_alive: { enabled: true, idle_socket_ttl: 2_000, eagerly_destroy_stale_sockets: true },
    compression: { request: false, response: false },
    log: { LoggerClass: Quiet },
  });
}

/** The client writes to the console, rows of failed inserts included; our own errors say what a person needs. */
class Quiet {
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
}

/**
 * Asks for the server's version, as the user and in the database of the settings.
 * @throws Failure `SinkUnavailable`, `Unauthorized` or `Misconfigured`: a sentence with the address and the setting
 */
export async function probeClickHouse(settings: Settings): Promise<string> {
  const client = connectClickHouse(settings, { requestTimeoutMs: 10_000, connections: 1 });
  try {
    const answer = await client.query({ query: /* sql */ `select version() as version`, format: 'JSONEachRow' });
    const rows = await answer.json<{ version: string }>();
    return rows[0]?.version ?? 'unknown version';
  } catch (error) {
    throw explainClickHouseConnect(error, settings);
  } finally {
    await client.close();
  }
}

export function explainClickHouseConnect(error: unknown, settings: Settings): Failure {
  const { url, database, user } = settings.clickhouse;
  const server = `ClickHouse at ${url}`;
  const network = explainNetworkError(error);
  const remedy = `Check that ClickHouse runs there and serves HTTP, and ${nameSettings(settings, ['CH_HOST', 'CH_PORT'])}.`;
  if (network !== undefined)
    return new Failure('SinkUnavailable', { message: `${server} ${network}.`, remedy, cause: error });
  const failure = classifyClickHouse(error, 'asking for its version');
  const code = failure.cause instanceof Error && 'code' in failure.cause ? Number(failure.cause.code) : undefined;
  if (failure.kind === 'Unauthorized') {
    return new Failure('Unauthorized', {
      message: `${server} does not let the user "${user}" in with this password.`,
      remedy: `Check ${nameSettings(settings, ['CH_USER', 'CH_PASSWORD'])}.`,
      cause: failure.cause,
    });
  }
  // 81: UNKNOWN_DATABASE
  if (code === 81) {
    return new Failure('Misconfigured', {
      message: `${server} has no database "${database}".`,
      remedy: `Create it, or correct ${nameSettings(settings, ['CH_DB'])}.`,
      cause: failure.cause,
    });
  }
  if (failure.kind !== 'SinkUnavailable') return failure;
  return new Failure('SinkUnavailable', {
    message: `${server} does not answer as ClickHouse should.`,
    remedy,
    cause: failure.cause,
  });
}
