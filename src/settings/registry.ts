import { Failure } from '../failure/failure.js';
import type { WrittenSettings } from './layer.js';
import { Secret } from './secret.js';
import type { SettingValues } from './table.js';
import { readTls, writtenFiles, type Tls, type TlsNames } from './tls.js';

/** The schema registry for messages in Avro, and who we are there. */
export interface RegistryServer {
  /** Without credentials, and without a slash at its end. */
  readonly url: string;
  /** As ClickHouse reaches it; with credentials where the setting for it has some. */
  readonly urlForClickHouse: Secret;
  /** ClickHouse would need our user, and shows the settings of a Kafka table to everybody who may see the table. */
  readonly wouldShowUser: boolean;
  readonly user: string | undefined;
  readonly password: Secret;
  readonly tls: Tls | undefined;
}

const TLS_FILES: TlsNames = {
  ca: 'SCHEMA_REGISTRY_TLS_CA',
  cert: 'SCHEMA_REGISTRY_TLS_CERT',
  key: 'SCHEMA_REGISTRY_TLS_KEY',
};

/** @returns undefined where no registry is set. @throws Failure `Misconfigured` for settings that contradict each other, and as `readTls` */
export function readRegistryServer(
  values: SettingValues,
  written: WrittenSettings,
  directory: string,
): RegistryServer | undefined {
  const { SCHEMA_REGISTRY_URL: url, SCHEMA_REGISTRY_USER, SCHEMA_REGISTRY_PASSWORD } = values;
  if (url === undefined) return undefined;
  const user = one('SCHEMA_REGISTRY_USER', SCHEMA_REGISTRY_USER, decodeURIComponent(url.username));
  const password = one('SCHEMA_REGISTRY_PASSWORD', SCHEMA_REGISTRY_PASSWORD, decodeURIComponent(url.password));
  if (password !== undefined && user === undefined)
    throw new Failure('Misconfigured', {
      message: 'The schema registry has a password, and no user.',
      remedy: 'Set SCHEMA_REGISTRY_USER, or write both into SCHEMA_REGISTRY_URL.',
    });
  const files = writtenFiles(written, TLS_FILES);
  if (files.length > 0 && url.protocol !== 'https:')
    throw new Failure('Misconfigured', {
      message: `${files.join(' and ')} not used: SCHEMA_REGISTRY_URL begins with http://.`,
      remedy: 'Begin it with https://, or remove the files.',
    });
  const own = values.SCHEMA_REGISTRY_URL_FOR_CLICKHOUSE;
  return Object.freeze({
    url: withoutCredentials(url),
    urlForClickHouse: new Secret(own === undefined ? withoutCredentials(url) : trimmed(own.href)),
    wouldShowUser: own === undefined && user !== undefined,
    user,
    password: new Secret(password ?? ''),
    tls: url.protocol === 'https:' ? readTls(written, TLS_FILES, { verify: 'full', directory }) : undefined,
  });
}

function one(name: string, single: string | undefined, inUrl: string): string | undefined {
  if (inUrl === '') return single;
  if (single === undefined || single === inUrl) return inUrl;
  throw new Failure('Misconfigured', {
    message: `${name} and SCHEMA_REGISTRY_URL contradict each other.`,
    remedy: `Remove ${name}, or take the user and password out of the URL.`,
  });
}

function withoutCredentials(url: URL): string {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  return trimmed(plain.href);
}

function trimmed(url: string): string {
  return url.replace(/\/+$/u, '');
}
