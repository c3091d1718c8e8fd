import type { ServerName } from '../../src/settings/server-name.js';
import type { SettingName } from '../../src/settings/table.js';
import type { StackAddresses } from './server.js';

type Values = Partial<Record<SettingName, string>>;

/** What somebody would write to use the servers of a stack, by server. */
export function settingsOf({
  postgres,
  kafka,
  clickhouse,
  temporal,
}: Partial<StackAddresses>): Partial<Record<ServerName, Values>> {
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
