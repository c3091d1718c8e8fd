import { dirname } from 'node:path';
import { isAlive } from '../../dev/stack/child.js';
import { readStackFile, type StackFile } from '../../dev/stack/stack-file.js';
import type { Part, StackAddresses } from '../../dev/stack/part.js';
import type { Written, WrittenSettings } from './layer.js';
import type { SettingName } from './table.js';

/** The settings that say where a server is: where one of them is written, the local stack's server is not used. */
const ADDRESS_NAMES: Readonly<Record<Part, readonly SettingName[]>> = {
  postgres: ['PG_URL', 'PG_HOST', 'PG_PORT'],
  kafka: ['KAFKA_BOOTSTRAP'],
  clickhouse: ['CH_URL', 'CH_HOST', 'CH_PORT'],
  temporal: ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'],
};

/** Who says where a server is: the user's settings, a running local stack, or nobody. */
export type PartOrigin = 'written' | 'stack' | 'default';

export function originOf(part: Part, written: WrittenSettings, fromStack: WrittenSettings): PartOrigin {
  const names = ADDRESS_NAMES[part];
  if (names.some((name) => written.has(name))) return 'written';
  return names.some((name) => fromStack.has(name)) ? 'stack' : 'default';
}

/**
 * The addresses of a local stack, for the servers whose address nobody wrote.
 * @param file path of a `stack.json` that is used whatever it says of its processes, or a folder's that counts only while
 *   the stack runs
 */
export function readStack(file: { path: string; onlyRunning: boolean }, written: WrittenSettings): WrittenSettings {
  const stack = readStackFile(dirname(file.path));
  if (stack === undefined || (file.onlyRunning && !isRunning(stack))) return new Map();
  const found = new Map<SettingName, Written>();
  const where = `in ${file.path}`;
  for (const [part, values] of Object.entries(settingsOf(stack.addresses)) as [Part, Values][]) {
    if (ADDRESS_NAMES[part].some((name) => written.has(name))) continue;
    for (const [name, value] of Object.entries(values))
      if (value !== '') found.set(name as SettingName, { value, where });
  }
  return found;
}

type Values = Partial<Record<SettingName, string>>;

/** What somebody would write to use the servers of a stack, by server. */
export function settingsOf({
  postgres,
  kafka,
  clickhouse,
  temporal,
}: Partial<StackAddresses>): Partial<Record<Part, Values>> {
  return {
    ...(postgres === undefined ? {} : { postgres: postgresSettings(postgres) }),
    ...(kafka === undefined ? {} : { kafka: kafkaSettings(kafka) }),
    ...(clickhouse === undefined ? {} : { clickhouse: clickhouseSettings(clickhouse) }),
    ...(temporal === undefined ? {} : { temporal: temporalSettings(temporal) }),
  };
}

function postgresSettings({ host, port, database, user, password, ssl }: StackAddresses['postgres']): Values {
  return {
    PG_HOST: host,
    PG_PORT: String(port),
    PG_DB: database,
    PG_USER: user,
    PG_PASSWORD: password,
    ...(ssl === undefined ? {} : { PG_SSLMODE: 'verify-full', PG_SSLROOTCERT: ssl.caFile }),
  };
}

function kafkaSettings({ bootstrap, ssl, sasl }: StackAddresses['kafka']): Values {
  return {
    KAFKA_BOOTSTRAP: bootstrap,
    ...(ssl === undefined ? {} : { KAFKA_TLS: 'true', KAFKA_TLS_CA: ssl.caFile }),
    ...(sasl === undefined
      ? {}
      : {
          KAFKA_SASL_MECHANISM: sasl.mechanism,
          KAFKA_SASL_USERNAME: sasl.username,
          KAFKA_SASL_PASSWORD: sasl.password,
        }),
  };
}

function clickhouseSettings({ url, database, user, password, ssl }: StackAddresses['clickhouse']): Values {
  const { hostname, port, protocol } = new URL(url);
  return {
    CH_HOST: hostname,
    CH_PORT: port === '' ? (protocol === 'https:' ? '443' : '80') : port,
    CH_DB: database,
    CH_USER: user,
    CH_PASSWORD: password,
    ...(ssl === undefined ? {} : { CH_TLS: 'true', CH_TLS_CA: ssl.caFile }),
  };
}

/** The name: grpc-js warns on standard error where it is an IP address. */
function temporalSettings({ address, namespace, uiUrl, ssl }: StackAddresses['temporal']): Values {
  return {
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    PG2CLICK_UI_URL: uiUrl,
    ...(ssl === undefined
      ? {}
      : { TEMPORAL_TLS: 'true', TEMPORAL_TLS_SERVER_CA_CERT_PATH: ssl.caFile, TEMPORAL_TLS_SERVER_NAME: 'localhost' }),
  };
}

/** Servers outlive a killed `pg2click dev`, and the next one takes them over. */
function isRunning(stack: StackFile): boolean {
  return [stack.owner, ...Object.values(stack.children)].some((process) => process !== undefined && isAlive(process));
}
