import { Failure } from '../failure/failure.js';
import { parseServerName, urlNameOf } from './clickhouse-name.js';
import { clickhouseServer, type ClickHouseServer } from './clickhouse-server.js';
import { readPlain, readSecret, type Layer, type Written } from './layer.js';
import { readValues } from './read-values.js';
import { readSecurity } from './security.js';
import type { SettingName } from './table.js';
import { expandClickHouseUrl } from './url.js';

/**
 * The other ClickHouse servers that settings name, by name in lower case: `CH_URL_EU` and `CH_PASSWORD_EU` are those of `eu`. What a
 * URL leaves out has the defaults of the CH_ settings, never the values that somebody gave them.
 * @param layers the first one that says something wins
 * @throws Failure `Misconfigured`
 */
export function readClickHouseServers(
  layers: readonly Layer[],
  directory: string,
): Readonly<Record<string, ClickHouseServer>> {
  const names = layers.flatMap(({ variables }) => Object.keys(variables).filter((name) => Boolean(variables[name])));
  const servers = new Set(names.flatMap((name) => parseServerName(name)?.server ?? []));
  return Object.fromEntries([...servers].toSorted().map((server) => [server, readServer(layers, server, directory)]));
}

function readServer(layers: readonly Layer[], server: string, directory: string): ClickHouseServer {
  const suffix = server.toUpperCase();
  const urlName = urlNameOf(server);
  const url = first(layers, (layer) => readSecret(layer, urlName));
  const password = first(layers, (layer) => readSecret(layer, `CH_PASSWORD_${suffix}`));
  const ca = first(layers, (layer) => readPlain(layer, `CH_TLS_CA_${suffix}`));
  if (url === undefined) {
    const lonely = password === undefined ? `CH_TLS_CA_${suffix}` : `CH_PASSWORD_${suffix}`;
    throw new Failure('Misconfigured', {
      message: `${lonely} ${(password ?? ca)?.where ?? ''} is set without ${urlName}.`,
      remedy: `Set ${urlName}, or remove ${lonely}.`,
    });
  }
  const pieces = new Map<SettingName, Written>(expandClickHouseUrl(url, urlName));
  if (password !== undefined) {
    if (pieces.has('CH_PASSWORD') && pieces.get('CH_PASSWORD')?.value !== password.value)
      throw new Failure('Misconfigured', {
        message: `CH_PASSWORD_${suffix} ${password.where} and ${urlName} ${url.where} contradict each other.`,
        remedy: 'Remove one of the two passwords.',
      });
    pieces.set('CH_PASSWORD', password);
  }
  if (ca !== undefined) pieces.set('CH_TLS_CA', ca);
  const values = readValues(pieces);
  return Object.freeze(clickhouseServer(values, pieces, readSecurity(values, pieces, directory).clickhouse));
}

function first(layers: readonly Layer[], read: (layer: Layer) => Written | undefined): Written | undefined {
  for (const layer of layers) {
    const found = read(layer);
    if (found !== undefined) return found;
  }
  return undefined;
}
