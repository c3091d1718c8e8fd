import type { WrittenSettings } from './layer.js';
import { Secret } from './secret.js';
import type { SettingValues } from './table.js';
import type { Tls } from './tls.js';

/** A ClickHouse server, and who we are there. */
export interface ClickHouseServer {
  /** `http://host:port` or `https://...`, without credentials. */
  readonly url: string;
  readonly tls: Tls | undefined;
  /** Of target tables that are named without one. */
  readonly database: string;
  readonly user: string;
  readonly password: Secret;
}

/** ClickHouse listens for TLS on another port by default. */
export function clickhouseServer(
  { CH_HOST, CH_PORT, CH_DB, CH_USER, CH_PASSWORD }: SettingValues,
  written: WrittenSettings,
  tls: Tls | undefined,
): ClickHouseServer {
  const port = tls !== undefined && !written.has('CH_PORT') ? 8_443 : CH_PORT;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${bracketed(CH_HOST)}:${port}`,
    tls,
    database: CH_DB,
    user: CH_USER,
    password: new Secret(CH_PASSWORD ?? ''),
  };
}

function bracketed(name: string): string {
  return name.includes(':') && !name.startsWith('[') ? `[${name}]` : name;
}
