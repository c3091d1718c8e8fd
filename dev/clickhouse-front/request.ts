import type { IncomingMessage } from 'node:http';
import { randomUUID } from 'node:crypto';
import { frontError } from './front-error.js';

/** What a request says outside of its query: parameters by what they are for, and who asks. */
export interface FrontRequest {
  readonly path: string;
  readonly method: string;
  readonly queryId: string;
  /** The query of the URL; the body is appended to it. */
  readonly query: string | undefined;
  readonly database: string | undefined;
  readonly defaultFormat: string | undefined;
  readonly roles: readonly string[];
  readonly session: SessionRequest | undefined;
  /** `param_x` of the URL under `x`, in the escaped form the server takes. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly settings: ReadonlyMap<string, string>;
  readonly user: string;
  readonly password: string;
  /** Whether the response may be compressed: the server wants both this setting and Accept-Encoding. */
  readonly compressResponse: boolean;
  /** Hold the whole result back, so that an error at its end still has a status of its own. */
  readonly waitEndOfQuery: boolean;
}

export interface SessionRequest {
  readonly id: string;
  readonly timeoutMs: number;
  /** Refuse to make the session when it is not there. */
  readonly check: boolean;
}

const SECOND = 1_000;
const DEFAULT_SESSION_TIMEOUT_S = 60;
const MAX_SESSION_TIMEOUT_S = 3_600;

// Parameters of the HTTP interface itself; everything else in the URL is a setting.
const RESERVED = new Set([
  'add_http_cors_header',
  'buffer_size',
  'client_protocol_version',
  'close_session',
  'compress',
  'database',
  'decompress',
  'default_format',
  'enable_http_compression',
  'http_zlib_compression_level',
  'password',
  'query',
  'query_id',
  'quota_key',
  'role',
  'send_progress_in_http_headers',
  'session_check',
  'session_id',
  'session_timeout',
  'stacktrace',
  'user',
  'wait_end_of_query',
]);

/**
 * Reads the URL and headers of a request.
 *
 * @throws FrontError NOT_IMPLEMENTED for the native block compression, INVALID_SESSION_TIMEOUT, AUTHENTICATION_FAILED
 */
export function parseRequest(message: IncomingMessage): FrontRequest {
  const url = new URL(message.url ?? '/', 'http://front');
  const { searchParams } = url;
  const header = (name: string): string | undefined => message.headers[name]?.toString();
  const parameters = new Map<string, string>();
  const settings = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (name.startsWith('param_')) parameters.set(name.slice('param_'.length), value);
    else if (!RESERVED.has(name)) settings.set(name, value);
  }
  for (const name of ['compress', 'decompress'])
    if (isTrue(searchParams.get(name)))
      throw frontError(
        'NOT_IMPLEMENTED',
        `Native block compression (${name}=1) is not served: use Content-Encoding and Accept-Encoding`,
      );
  return {
    path: url.pathname,
    method: message.method ?? 'GET',
    queryId: searchParams.get('query_id') || randomUUID(),
    query: searchParams.get('query') ?? undefined,
    database: searchParams.get('database') ?? header('x-clickhouse-database'),
    defaultFormat: header('x-clickhouse-format') ?? searchParams.get('default_format') ?? undefined,
    roles: searchParams.getAll('role'),
    session: parseSession(searchParams),
    parameters,
    settings,
    ...parseCredentials(header, searchParams),
    compressResponse: isTrue(searchParams.get('enable_http_compression')),
    waitEndOfQuery: isTrue(searchParams.get('wait_end_of_query')),
  };
}

function parseSession(searchParams: URLSearchParams): SessionRequest | undefined {
  const id = searchParams.get('session_id');
  if (id === null || id === '') return undefined;
  const seconds = Number(searchParams.get('session_timeout') ?? DEFAULT_SESSION_TIMEOUT_S);
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_SESSION_TIMEOUT_S)
    throw frontError(
      'INVALID_SESSION_TIMEOUT',
      `Session timeout must be a number of seconds up to ${MAX_SESSION_TIMEOUT_S}`,
    );
  return { id, timeoutMs: seconds * SECOND, check: isTrue(searchParams.get('session_check')) };
}

/** Basic, then the headers of ClickHouse, then the URL, as the server has it; without any, the user `default`. */
function parseCredentials(
  header: (name: string) => string | undefined,
  searchParams: URLSearchParams,
): { user: string; password: string } {
  const authorization = header('authorization');
  if (authorization !== undefined) {
    const basic = /^basic\s+(\S+)$/i.exec(authorization)?.[1];
    if (basic === undefined)
      throw frontError('AUTHENTICATION_FAILED', 'Only the Basic scheme of Authorization is served');
    const pair = Buffer.from(basic, 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    return colon === -1
      ? { user: pair, password: '' }
      : { user: pair.slice(0, colon), password: pair.slice(colon + 1) };
  }
  return {
    user: header('x-clickhouse-user') ?? searchParams.get('user') ?? 'default',
    password: header('x-clickhouse-key') ?? searchParams.get('password') ?? '',
  };
}

function isTrue(value: string | null): boolean {
  return value === '1' || value?.toLowerCase() === 'true';
}
