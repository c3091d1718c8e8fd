import { Failure } from '../failure/failure.js';
import type { Written, WrittenSettings } from './layer.js';
import { SETTINGS, type SettingName } from './table.js';

/** What a URL setting says of the single names. */
type Pieces = Partial<Record<SettingName, string>>;

/**
 * Replaces `PG_URL` and `CH_URL` by the single names they stand for.
 * @throws Failure `Misconfigured` when a URL is none of ours, or a single name says something else than the URL does
 */
export function expandUrls(written: WrittenSettings): WrittenSettings {
  const expanded = new Map(written);
  for (const [name, expand] of [
    ['PG_URL', expandPostgresUrl],
    ['CH_URL', (name: SettingName, source: Written) => expandClickHouseUrl(source, name)],
  ] as const) {
    const source = written.get(name);
    if (source === undefined) continue;
    for (const [piece, value] of expand(name, source)) put(expanded, piece, value, name, source.where);
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
  const url = kind.schema.safeParse(source.value);
  if (!url.success)
    throw new Failure('Misconfigured', { message: `${name} ${source.where} is not valid: expected ${kind.expected}.` });
  const where = `${source.where} (${name})`;
  const pieces = Object.entries(take(url.data as URL)) as [SettingName, string][];
  return new Map(pieces.map(([piece, value]) => [piece, { value, where }]));
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

function takePostgres(url: URL, urlName: SettingName, source: Written): Pieces {
  const files: Pieces = {};
  for (const [parameter, value] of url.searchParams) {
    const name = POSTGRES_PARAMETERS[parameter];
    if (name === undefined) {
      // Its value is not shown: the URL may hold anything that libpq takes, a password among it.
      throw new Failure('Misconfigured', {
        message: `${urlName} ${source.where} has the parameter ${parameter}, which pg2click does not know.`,
        remedy: `Remove it from the URL; known are ${Object.keys(POSTGRES_PARAMETERS).join(', ')}.`,
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
