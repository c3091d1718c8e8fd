import { closestMatch } from 'leven';
import { parseServerName } from './clickhouse-name.js';
import { SETTINGS, SETTING_NAMES, isSettingName, type SettingName } from './table.js';

const OURS = /^(?:PG|LEDGER_PG|KAFKA|SCHEMA_REGISTRY|CH|PG2CLICK)_/u;

/** Names that other programs have for the same thing; single names of the ledger, which has its URL only. */
const SYNONYMS: Readonly<Record<string, SettingName>> = {
  PG_DATABASE: 'PG_DB',
  PG_DBNAME: 'PG_DB',
  PG_NAME: 'PG_DB',
  PG_USERNAME: 'PG_USER',
  PG_PASS: 'PG_PASSWORD',
  PG_SERVER: 'PG_HOST',
  PG_SSL: 'PG_SSLMODE',
  PG_TLS: 'PG_SSLMODE',
  PG_SSL_CA: 'PG_SSLROOTCERT',
  LEDGER_PG_HOST: 'LEDGER_PG_URL',
  LEDGER_PG_PORT: 'LEDGER_PG_URL',
  LEDGER_PG_DB: 'LEDGER_PG_URL',
  LEDGER_PG_USER: 'LEDGER_PG_URL',
  KAFKA_SSL: 'KAFKA_TLS',
  KAFKA_SSL_CA: 'KAFKA_TLS_CA',
  KAFKA_SECURITY_PROTOCOL: 'KAFKA_TLS',
  KAFKA_USER: 'KAFKA_SASL_USERNAME',
  KAFKA_USERNAME: 'KAFKA_SASL_USERNAME',
  KAFKA_PASSWORD: 'KAFKA_SASL_PASSWORD',
  KAFKA_BROKER: 'KAFKA_BOOTSTRAP',
  KAFKA_BROKERS: 'KAFKA_BOOTSTRAP',
  KAFKA_HOST: 'KAFKA_BOOTSTRAP',
  KAFKA_SERVERS: 'KAFKA_BOOTSTRAP',
  KAFKA_BOOTSTRAP_SERVERS: 'KAFKA_BOOTSTRAP',
  KAFKA_GROUP_ID: 'KAFKA_GROUP',
  KAFKA_CONSUMER_GROUP: 'KAFKA_GROUP',
  SCHEMA_REGISTRY_USERNAME: 'SCHEMA_REGISTRY_USER',
  CH_DATABASE: 'CH_DB',
  CH_DBNAME: 'CH_DB',
  CH_USERNAME: 'CH_USER',
  CH_PASS: 'CH_PASSWORD',
  CH_SERVER: 'CH_HOST',
  CH_HTTP_PORT: 'CH_PORT',
  CH_HTTPS_PORT: 'CH_PORT',
  CH_SECURE: 'CH_TLS',
  CH_SSL: 'CH_TLS',
};

export interface UnknownName {
  readonly name: string;
  /** What was probably meant. */
  readonly meant: SettingName | undefined;
}

/** The names that look like ours and are none. */
export function findUnknownNames(names: readonly string[]): UnknownName[] {
  return names
    .filter(
      (name) =>
        OURS.test(name) && !isSettingName(name) && !isSecretFileName(name) && parseServerName(name) === undefined,
    )
    .map((name) => ({ name, meant: SYNONYMS[name] ?? nearestName(name, SETTING_NAMES) }));
}

function isSecretFileName(name: string): boolean {
  const secret = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : '';
  return isSettingName(secret) && SETTINGS[secret].secret;
}

/** The candidate within two typing errors of `name`, if any: insertions, deletions and replacements. */
export function nearestName<Name extends string>(name: string, candidates: readonly Name[]): Name | undefined {
  return closestMatch(name, candidates, { maxDistance: name.length <= 4 ? 1 : 2 }) as Name | undefined;
}
