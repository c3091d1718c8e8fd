import { splitHostPort } from '../connect/host-port.js';
import { Secret } from './secret.js';
import type { SettingValues } from './table.js';
import type { Tls } from './tls.js';

/** A PostgreSQL database, and who we are there. */
export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: Secret;
  readonly tls: Tls | undefined;
  /** The setting that holds all of this, for sentences; absent where the PG_ settings do. */
  readonly setting?: 'LEDGER_PG_URL';
  /** The setting that holds its address, for sentences; absent where PG_HOST and PG_PORT do, or `setting`. */
  readonly address?: 'PG_WAL_ADDRESS';
}

export function postgresServer(values: SettingValues, tls: Tls | undefined): PostgresServer {
  return {
    host: values.PG_HOST.replace(/^\[(.*)\]$/u, '$1'),
    port: values.PG_PORT,
    database: values.PG_DB,
    user: values.PG_USER,
    password: new Secret(values.PG_PASSWORD ?? ''),
    tls,
  };
}

/** The standby that the WAL is read from. @returns undefined where that is read from the server of the tables */
export function walServer(values: SettingValues, tables: PostgresServer): PostgresServer | undefined {
  const { PG_WAL_ADDRESS: address } = values;
  return address === undefined ? undefined : { ...tables, ...splitHostPort(address), address: 'PG_WAL_ADDRESS' };
}
