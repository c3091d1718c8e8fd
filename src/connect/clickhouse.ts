import { Agent } from 'node:https';
import { createClient, type ClickHouseClient, type ClickHouseClientConfigOptions } from '@clickhouse/client';
import { Failure } from '../failure/failure.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { errorChain } from '../failure/error-chain.js';
import { explainTls } from '../failure/explain-tls.js';
import type { ClickHouseServer } from '../settings/clickhouse-server.js';
import type { Settings } from '../settings/settings.js';
import { splitHostPort } from './host-port.js';
import { explainTlsMissing, explainTlsTo, explainTlsWanted, nodeTlsOptions, speaksTls } from './tls.js';
import { explainNetworkError, nameSettings } from './unreachable.js';

export interface ConnectClickHouseOptions {
  /** How long a request may take, milliseconds. Default 5 minutes: an insert may wait for merges. */
  readonly requestTimeoutMs?: number;
  /** Requests at once. Default 64: the client's own 10 would let two slow tables hold up the others. */
  readonly connections?: number;
}

/** Opens nothing yet. `close()` ends its idle connections. */
export function connectClickHouse(
  settings: { readonly clickhouse: ClickHouseServer },
  options: ConnectClickHouseOptions = {},
): ClickHouseClient {
  const { url, database, user, password } = settings.clickhouse;
  const connections = options.connections ?? 64;
  return createClient({
    url,
    database,
    username: user,
    password: password.reveal(),
    application: 'pg2click',
    request_timeout: options.requestTimeoutMs ?? 5 * 60_000,
    max_open_connections: connections,
    ...securely(settings, connections),
    // Below the 3 seconds of the shortest-lived servers, and checked at each use: a socket that the server closed at the
    // same moment would turn an insert into one of unknown outcome.
    keep_alive: { enabled: true, idle_socket_ttl: 2_000, eagerly_destroy_stale_sockets: true },
    compression: { request: false, response: false },
    // A profile may switch the cache on: what was answered a minute ago must not decide what is lost.
    clickhouse_settings: { use_query_cache: 0 },
    log: { LoggerClass: Quiet },
  });
}

/**
 * The client's own `tls` cannot show a certificate and send a password: our agent can, and is pooled in the same way. A
 * certificate without a password is what lets the user in.
 */
function securely(
  settings: { readonly clickhouse: ClickHouseServer },
  connections: number,
): ClickHouseClientConfigOptions {
  const { tls, user, password } = settings.clickhouse;
  if (tls === undefined) return {};
  const agent = { http_agent: new Agent({ keepAlive: true, maxSockets: connections, ...nodeTlsOptions(tls) }) };
  if (tls.client === undefined || password.reveal() !== '') return agent;
  const headers = { 'X-ClickHouse-User': user, 'X-ClickHouse-SSL-Certificate-Auth': 'on' };
  return { ...agent, set_basic_auth_header: false, http_headers: headers };
}

/** The client writes to the console, rows of failed inserts included; our own errors say what a person needs. */
class Quiet {
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
}

const PROBE_MS = 10_000;

/**
 * Asks for the server's version, as the user and in the database of the settings.
 * @throws Failure `SinkUnavailable`, `LoginRefused`, `Unauthorized` or `Misconfigured`: a sentence with the address and the setting
 */
export async function probeClickHouse(settings: Settings): Promise<string> {
  const client = connectClickHouse(settings, { requestTimeoutMs: PROBE_MS, connections: 1 });
  try {
    const answer = await client.query({ query: /* sql */ `select version() as version`, format: 'JSONEachRow' });
    const rows = await answer.json<{ version: string }>();
    return rows[0]?.version ?? 'unknown version';
  } catch (error) {
    throw (await explainMixUp(error, settings)) ?? explainClickHouseConnect(error, settings, PROBE_MS);
  } finally {
    await client.close();
  }
}

/** HTTP spoken to a server of HTTPS breaks off in many ways, and so does the reverse: a greeting in TLS tells them apart. */
async function explainMixUp(error: unknown, settings: Settings): Promise<Failure | undefined> {
  const { url, tls } = settings.clickhouse;
  const known = explainTls(error)?.fault ?? 'other';
  if (known !== 'other' || classifyClickHouse(error, 'asking for its version').kind !== 'SinkUnavailable')
    return undefined;
  const address = splitHostPort(new URL(url).host, tls === undefined ? 80 : 443);
  if (isRefused(error) || (await speaksTls(address)) === (tls !== undefined)) return undefined;
  const { sentence, remedy } = tls === undefined ? explainTlsWanted('clickhouse') : explainTlsMissing('clickhouse');
  return new Failure('SinkUnavailable', { message: `ClickHouse at ${url} ${sentence}.`, remedy, cause: error });
}

/** Whatever never came to speak. */
function isRefused(error: unknown): boolean {
  return errorChain(error).some(
    (link) => 'code' in link && !['ECONNRESET', 'EPIPE', 'EPROTO'].includes(String(link.code)),
  );
}

/** @param waitedMs how long the request might take */
export function explainClickHouseConnect(error: unknown, settings: Settings, waitedMs: number): Failure {
  const { url, database, user } = settings.clickhouse;
  const server = `ClickHouse at ${url}`;
  const secure = explainTlsTo('clickhouse', error, settings);
  if (secure !== undefined) {
    const message = `${server} ${secure.sentence}.`;
    return new Failure('SinkUnavailable', { message, remedy: secure.remedy, cause: error });
  }
  const network = explainNetworkError(error);
  const remedy = `Check that ClickHouse runs there and serves HTTP, and ${nameSettings(settings, ['CH_HOST', 'CH_PORT'])}.`;
  if (network !== undefined)
    return new Failure('SinkUnavailable', { message: `${server} ${network}.`, remedy, cause: error });
  const failure = classifyClickHouse(error, 'asking for its version');
  const code = failure.cause instanceof Error && 'code' in failure.cause ? Number(failure.cause.code) : undefined;
  if (failure.kind === 'LoginRefused') {
    return new Failure('LoginRefused', {
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
  // The client's own words: its error has no code.
  if (errorChain(error).some((link) => 'message' in link && link.message === 'Timeout error.'))
    return new Failure('SinkUnavailable', {
      message: `${server} did not answer within ${waitedMs / 1_000} s.`,
      remedy: 'Look at its load: ClickHouse, or what is on the way to it, took the request and is slow.',
      cause: failure.cause,
    });
  return new Failure('SinkUnavailable', {
    message: `${server} does not answer as ClickHouse should.`,
    remedy,
    cause: failure.cause,
  });
}
