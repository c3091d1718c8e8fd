import { Failure } from '../failure/failure.js';
import type { Written, WrittenSettings } from './layer.js';
import { SETTINGS, type SettingName } from './table.js';
import { bareCharacter, escapeCharacter, hasPort, hasSeveralHosts, isDecodable } from './url-parts.js';

/** URLs with secrets that stand for themselves. */
const OTHER_URLS = [
  'LEDGER_PG_URL',
  'SCHEMA_REGISTRY_URL',
  'SCHEMA_REGISTRY_URL_FOR_CLICKHOUSE',
] as const satisfies readonly SettingName[];

/** What a URL setting says of the single names. */
type Pieces = Partial<Record<SettingName, string>>;

/**
 * Replaces `PG_URL` and `CH_URL` by the single names they stand for.
 * @throws Failure `Misconfigured` when a URL is none of ours, or a single name says something else than the URL does
 */
export function expandUrls(written: WrittenSettings): WrittenSettings {
  const expanded = new Map(written);
  for (const name of OTHER_URLS) {
    const source = written.get(name);
    if (source !== undefined) refuseWrongParts(name, source);
  }
  for (const [name, expand] of [
    ['PG_URL', expandPostgresUrl],
    ['CH_URL', (name: SettingName, source: Written) => expandClickHouseUrl(source, name)],
  ] as const) {
    const source = written.get(name);
    if (source === undefined) continue;
    for (const [piece, value] of expand(name, source)) {
      // The port that a protocol means is what the URL leaves out.
      if (piece === 'CH_PORT' && expanded.has(piece) && !hasPort(source.value)) continue;
      put(expanded, piece, value, name, source.where);
    }
  }
  return expanded;
}

/** The PG_ names that a URL of PostgreSQL stands for. @throws Failure `Misconfigured` */
export function expandPostgresUrl(name: SettingName, source: Written): WrittenSettings {
  return expandUrl(name, source, (url) => takePostgres(url, name, source));
}

/** The CH_ names that a URL of ClickHouse stands for. @param name of its setting @throws Failure `Misconfigured` */
export function expandClickHouseUrl(source: Written, name = 'CH_URL'): WrittenSettings {
  return expandUrl('CH_URL', source, (url) => takeClickHouse(url, name, source), name);
}

/** @param setting whose kind it is; `name` of the setting that was written */
function expandUrl(
  setting: SettingName,
  source: Written,
  take: (url: URL) => Pieces,
  name: string = setting,
): WrittenSettings {
  const { kind } = SETTINGS[setting];
  refuseWrongParts(name, source);
  const url = kind.schema.safeParse(source.value);
  if (!url.success)
    throw new Failure('Misconfigured', { message: `${name} ${source.where} is not valid: expected ${kind.expected}.` });
  const where = `${source.where} (${name})`;
  const pieces = Object.entries(take(url.data as URL)) as [SettingName, string][];
  return new Map(pieces.map(([piece, value]) => [piece, { value, where }]));
}

/** No part of the URL is shown: what is wrong in it may be a piece of the password. */
function refuseWrongParts(name: string, { value, where }: Written): void {
  const apart = `set the password apart, in a setting of its own`;
  const bare = bareCharacter(value);
  if (bare !== undefined)
    throw new Failure('Misconfigured', {
      message: `${name} ${where} has a bare "${bare}", which cuts its user, password or host short.`,
      remedy: `Write ${escapeCharacter(bare)} for "${bare}" in the user and the password, and %40 for "@"; or ${apart}.`,
    });
  if (hasSeveralHosts(value))
    throw new Failure('Misconfigured', {
      message: `${name} ${where} names several hosts, and pg2click connects to one.`,
      remedy: 'Name the host that takes writes, or a name that always leads to it. A "," in a password is written %2C.',
    });
  if (!/%(?![0-9A-Fa-f]{2})/u.test(value) && !isDecodable(value))
    throw new Failure('Misconfigured', {
      message: `${name} ${where} has characters written as %XX that are not UTF-8.`,
      remedy: `Write them in UTF-8, as %C3%A9 for "é", or ${apart}.`,
    });
}

function put(
  expanded: Map<SettingName, Written>,
  piece: SettingName,
  value: Written,
  urlName: SettingName,
  where: string,
): void {
  const single = expanded.get(piece);
  if (single !== undefined && single.value !== value.value) {
    const values = SETTINGS[piece].secret ? '' : `: "${single.value}" and "${value.value}"`;
    throw new Failure('Misconfigured', {
      message: `${piece} ${single.where} and ${urlName} ${where} contradict each other${values}.`,
      remedy: `Remove one of ${piece} and ${urlName}.`,
    });
  }
  expanded.set(piece, value);
}

/** libpq's names of what a URL may say after "?". */
const POSTGRES_PARAMETERS: Readonly<Record<string, SettingName>> = {
  sslmode: 'PG_SSLMODE',
  sslrootcert: 'PG_SSLROOTCERT',
  sslcert: 'PG_SSLCERT',
  sslkey: 'PG_SSLKEY',
};

/** What else libpq and the pages of providers have there: what is lost without it, and what to do. */
const OTHER_PARAMETERS: Readonly<Record<string, string>> = {
  application_name: 'Remove it: pg2click names its own sessions.',
  channel_binding:
    'Remove it, and write sslmode=verify-full: then the certificate proves the server, which the binding of the password to the channel does else.',
  connect_timeout: 'Remove it: pg2click waits 10 s.',
  target_session_attrs: 'Remove it: pg2click writes, and says so where a server takes no writes.',
  options:
    'Remove it: pg2click sets the options of its sessions. A provider that tells projects apart by it also takes a host name for each.',
  host: 'Write it before the port, or set PG_HOST.',
  port: 'Write it behind the host, or set PG_PORT.',
  user: 'Write it before "@", or set PG_USER.',
  password: 'Write it before "@", or set PG_PASSWORD.',
  dbname: 'Write it behind "/", or set PG_DB.',
};

function takePostgres(url: URL, urlName: SettingName, source: Written): Pieces {
  const files: Pieces = {};
  for (const [parameter, value] of url.searchParams) {
    const name = POSTGRES_PARAMETERS[parameter];
    if (name === undefined) {
      // Its value is not shown: the URL may hold anything that libpq takes, a password among it.
      throw new Failure('Misconfigured', {
        message: `${urlName} ${source.where} has the parameter ${parameter}, which pg2click does not know.`,
        remedy: Object.hasOwn(OTHER_PARAMETERS, parameter)
          ? OTHER_PARAMETERS[parameter]
          : `Remove it from the URL; known are ${Object.keys(POSTGRES_PARAMETERS).join(', ')}.`,
      });
    }
    files[name] = value;
  }
  return withoutEmpty({
    ...files,
    PG_HOST: decodeURIComponent(url.hostname),
    PG_PORT: url.port,
    PG_USER: decodeURIComponent(url.username),
    PG_PASSWORD: decodeURIComponent(url.password),
    PG_DB: decodeURIComponent(url.pathname.slice(1)),
  });
}

function takeClickHouse(url: URL, name: string, source: Written): Pieces {
  const database = decodeURIComponent(url.pathname.slice(1));
  if (url.search !== '' || database.includes('/')) {
    throw new Failure('Misconfigured', {
      message: `${name} ${source.where} has ${url.search === '' ? 'a path of several parts' : 'parameters after "?"'}: expected at most a database after the port.`,
    });
  }
  return withoutEmpty({
    CH_HOST: url.hostname,
    CH_TLS: String(url.protocol === 'https:'),
    CH_PORT: url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port,
    CH_USER: decodeURIComponent(url.username),
    CH_PASSWORD: decodeURIComponent(url.password),
    CH_DB: database,
  });
}

function withoutEmpty(pieces: Pieces): Pieces {
  return Object.fromEntries(Object.entries(pieces).filter(([, value]) => value !== ''));
}
