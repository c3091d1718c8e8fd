import { MESSAGE_FORMATS, TRANSPORTS } from '../domain/route.js';
import { setting, type Setting } from './setting.js';
import {
  brokers,
  caseless,
  choice,
  clickhouseUrl,
  host,
  hostAndPort,
  hostOrSocket,
  identifier,
  port,
  postgresUrl,
  registryUrl,
  text,
  topicName,
  webUrl,
  wholeNumber,
} from './value-kind.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

const TRUSTED = 'File with the CAs to trust (PEM), instead of those that Node trusts';
const CLIENT_CERTIFICATE =
  'File with the client certificate and what leads to its CA (PEM), where the server wants one.';
const CLIENT_KEY = 'File with its private key (PEM), without a passphrase.';

/**
 * Every setting: the one place that knows its name, type, default, unit and description. Reading the environment, the page
 * `docs/07-settings.md`, the `.env` that `init` writes and `--help` all come from this table.
 */
export const SETTINGS = {
  PG_HOST: setting('PostgreSQL', hostOrSocket, { default: 'localhost', description: 'Server that holds the tables.' }),
  PG_PORT: setting('PostgreSQL', port, { default: '5432', description: 'Its port.' }),
  PG_DB: setting('PostgreSQL', text, {
    default: 'postgres',
    description:
      'Database of the tables. The ledger is in its schema pg2click, unless LEDGER_PG_URL names another database.',
  }),
  PG_USER: setting('PostgreSQL', text, {
    default: 'postgres',
    description: 'Role that may read the tables and put triggers on them; sql/roles/postgres.sql makes one.',
  }),
  PG_PASSWORD: setting('PostgreSQL', text, { secret: true, description: 'Its password.' }),
  PG_SSLMODE: setting('PostgreSQL', choice(['disable', 'no-verify', 'require', 'verify-ca', 'verify-full']), {
    defaultWords: 'disable; verify-full where PG_SSLROOTCERT or PG_SSLCERT is set',
    description:
      'TLS. verify-full looks at the authority and the name of the certificate, verify-ca at the authority only, no-verify at nothing; require means verify-full, unlike in libpq.',
  }),
  PG_SSLROOTCERT: setting('PostgreSQL', text, { description: `${TRUSTED}.` }),
  PG_SSLCERT: setting('PostgreSQL', text, { description: CLIENT_CERTIFICATE }),
  PG_SSLKEY: setting('PostgreSQL', text, { description: CLIENT_KEY }),
  PG_URL: setting('PostgreSQL', postgresUrl, {
    secret: true,
    description:
      'All of the above in one: postgres://user:password@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem.',
  }),
  PG_WAL_ADDRESS: setting('PostgreSQL', hostAndPort, {
    defaultWords: 'PG_HOST and PG_PORT',
    description:
      'host:port of a standby of that server (PostgreSQL 16 or later) at which the WAL is read for --capture wal; database, role, password and TLS are those of PG_HOST. The same for all commands and workers.',
  }),
  LEDGER_PG_URL: setting('PostgreSQL', postgresUrl, {
    secret: true,
    defaultWords: 'the database of the tables',
    description:
      'Database of the ledger, where that is another one than that of the tables: postgres://role:password@host:5432/database, with the parameters of PG_URL. Every command and worker of a source needs the same one.',
  }),
  LEDGER_PG_PASSWORD: setting('PostgreSQL', text, {
    secret: true,
    description: 'Password of the role in LEDGER_PG_URL, where the URL has none.',
  }),

  KAFKA_BOOTSTRAP: setting('Kafka', brokers, {
    default: 'localhost:9092',
    description: 'Brokers to begin with, separated by commas.',
  }),
  KAFKA_BOOTSTRAP_FOR_CLICKHOUSE: setting('Kafka', brokers, {
    defaultWords: 'KAFKA_BOOTSTRAP',
    description: 'The same brokers as ClickHouse reaches them, for tables that are loaded by its Kafka engine.',
  }),
  KAFKA_TOPIC: setting('Kafka', topicName, {
    defaultWords: '<pipeline>.<schema>.<table>',
    description: 'Topic of the first table that is added without --topic; the others get names of their own.',
  }),
  KAFKA_GROUP: setting('Kafka', topicName, {
    default: 'pg2click',
    description: 'Consumer group under which the loaded offsets are committed, for the usual lag tools.',
  }),
  KAFKA_PARTITIONS: setting('Kafka', wholeNumber(1, 1_000), {
    default: '1',
    description:
      'Partitions of a topic when it is created; they cannot be changed later. Loading needs one; others of your consumers may want more.',
  }),
  KAFKA_RETENTION_MS: setting('Kafka', wholeNumber(60_000, Number.MAX_SAFE_INTEGER), {
    default: String(7 * 24 * 60 * 60 * 1_000),
    unit: 'milliseconds',
    description: 'How long a topic keeps messages: the longest ClickHouse outage that loses nothing.',
  }),
  KAFKA_TLS: setting('Kafka', choice(['true', 'false']), {
    defaultWords: 'false; true where a KAFKA_TLS_ file is set',
    description: 'TLS to every broker; the certificates and their names are verified.',
  }),
  KAFKA_TLS_CA: setting('Kafka', text, { description: `${TRUSTED}.` }),
  KAFKA_TLS_CERT: setting('Kafka', text, { description: CLIENT_CERTIFICATE }),
  KAFKA_TLS_KEY: setting('Kafka', text, { description: CLIENT_KEY }),
  KAFKA_SASL_MECHANISM: setting('Kafka', caseless(['plain', 'scram-sha-256', 'scram-sha-512']), {
    description:
      'How the user proves who it is; none when not set. plain shows the password to everyone who listens on the network: use TLS.',
  }),
  KAFKA_SASL_USERNAME: setting('Kafka', text, { description: 'The user.' }),
  KAFKA_SASL_PASSWORD: setting('Kafka', text, { secret: true, description: 'Its password.' }),
  PG2CLICK_FORMAT: setting('Kafka', choice(MESSAGE_FORMATS), {
    default: 'json',
    description:
      'Messages of tables added without --format: one row each (json, debezium, or avro with a schema registry), or many rows each (packed, faster).',
  }),
  PG2CLICK_WAL_MESSAGES_TOPIC: setting('Kafka', topicName, {
    description:
      'Topic for the messages that pg_logical_emit_message writes, where tables are captured from the WAL. A worker without this setting sends them where they went before; none ends it.',
  }),
  SCHEMA_REGISTRY_URL: setting('Kafka', registryUrl, {
    secret: true,
    description:
      'Schema registry with the HTTP API of Confluent, for messages in Avro: http://user:password@host:8081, also with a path; https:// for TLS.',
  }),
  SCHEMA_REGISTRY_USER: setting('Kafka', text, { description: 'Its user, where the URL has none.' }),
  SCHEMA_REGISTRY_PASSWORD: setting('Kafka', text, {
    secret: true,
    description: 'Its password, where the URL has none.',
  }),
  SCHEMA_REGISTRY_TLS_CA: setting('Kafka', text, { description: `${TRUSTED}.` }),
  SCHEMA_REGISTRY_TLS_CERT: setting('Kafka', text, { description: CLIENT_CERTIFICATE }),
  SCHEMA_REGISTRY_TLS_KEY: setting('Kafka', text, { description: CLIENT_KEY }),
  SCHEMA_REGISTRY_URL_FOR_CLICKHOUSE: setting('Kafka', registryUrl, {
    secret: true,
    defaultWords: 'SCHEMA_REGISTRY_URL without its user',
    description:
      'The registry as ClickHouse reaches it, for tables in Avro that its Kafka engine loads. ClickHouse shows it to everybody who may see the table.',
  }),

  CH_HOST: setting('ClickHouse', host, { default: 'localhost', description: 'Server that holds the copies.' }),
  CH_PORT: setting('ClickHouse', port, { default: '8123', description: 'Its HTTP port; 8443 by default with TLS.' }),
  CH_DB: setting('ClickHouse', text, { default: 'default', description: 'Database of the target tables.' }),
  CH_USER: setting('ClickHouse', text, { default: 'default', description: 'User that creates and fills them.' }),
  CH_PASSWORD: setting('ClickHouse', text, { secret: true, description: 'Its password.' }),
  CH_TABLE: setting('ClickHouse', text, {
    defaultWords: 'the name of the source table, after its schema unless that is public',
    description: 'Target of the first table that is added without --target; the others get names of their own.',
  }),
  CH_TLS: setting('ClickHouse', choice(['true', 'false']), {
    defaultWords: 'false; true with https:// in CH_URL, or where a CH_TLS_ file is set',
    description: 'HTTPS; the certificate and its name are verified.',
  }),
  CH_TLS_CA: setting('ClickHouse', text, { description: `${TRUSTED}.` }),
  CH_TLS_CERT: setting('ClickHouse', text, {
    description: 'File with the client certificate (PEM); without CH_PASSWORD it is what lets the user in.',
  }),
  CH_TLS_KEY: setting('ClickHouse', text, { description: CLIENT_KEY }),
  CH_URL: setting('ClickHouse', clickhouseUrl, {
    secret: true,
    description:
      'All of the above but the table and the files in one: http://user:password@host:8123/database; https:// for TLS.',
  }),

  TEMPORAL_ADDRESS: setting('Temporal', text, {
    defaultWords: 'localhost:7233',
    description: 'host:port of the Temporal front end. All TEMPORAL_ names are read as the Temporal CLI reads them.',
  }),
  TEMPORAL_NAMESPACE: setting('Temporal', text, { defaultWords: 'default', description: 'Its namespace.' }),
  TEMPORAL_API_KEY: setting('Temporal', text, { secret: true, description: 'API key; implies TLS.' }),
  TEMPORAL_TLS: setting('Temporal', choice(['true', 'false', '1', '0']), { description: 'Whether to use TLS.' }),
  TEMPORAL_TLS_CLIENT_CERT_PATH: setting('Temporal', text, { description: 'File with the client certificate (PEM).' }),
  TEMPORAL_TLS_CLIENT_KEY_PATH: setting('Temporal', text, { description: 'File with its private key (PEM).' }),
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: setting('Temporal', text, { description: "File with the server's CA (PEM)." }),
  TEMPORAL_TLS_SERVER_NAME: setting('Temporal', text, { description: 'Name to expect in its certificate.' }),
  TEMPORAL_PROFILE: setting('Temporal', text, {
    defaultWords: 'default',
    description: "Profile of the Temporal CLI's configuration file.",
  }),
  TEMPORAL_CONFIG_FILE: setting('Temporal', text, {
    defaultWords: "the Temporal CLI's own",
    description: 'That file, elsewhere.',
  }),
  PG2CLICK_UI_URL: setting('Temporal', webUrl, {
    description: "Address of Temporal's web UI: status and add then show a link to the table's page.",
  }),

  PG2CLICK_PIPELINE: setting('pg2click', identifier, {
    default: 'default',
    description: 'Name that tells apart two sources that hold tables of the same name.',
  }),
  PG2CLICK_TRANSPORT: setting('pg2click', choice(TRANSPORTS), {
    default: 'kafka',
    description:
      'How the changes of an outbox travel where add is given no --transport: kafka, or direct into ClickHouse, which needs no Kafka at all.',
  }),
  PG2CLICK_LOG_LEVEL: setting('pg2click', choice(LOG_LEVELS), { default: 'info', description: 'What is logged.' }),
  PG2CLICK_LOG_FORMAT: setting('pg2click', choice(['pretty', 'json']), {
    defaultWords: 'pretty on a terminal, json elsewhere',
    description: 'How it is logged.',
  }),
  PG2CLICK_STACK_FILE: setting('pg2click', text, {
    defaultWords: '.pg2click/dev/stack.json',
    description: 'Addresses of a running local stack: used where nothing else says where a server is.',
  }),
  PG2CLICK_CACHE: setting('pg2click', text, {
    defaultWords: '~/.cache/pg2click',
    description: 'Folder where the local stack keeps what it downloads and builds; read from the environment only.',
  }),
  PG2CLICK_DEBUG: setting('pg2click', choice(['0', '1']), {
    default: '0',
    description: '1 shows the stack trace of an error that ends a command.',
  }),

  PG2CLICK_SLICE_MS: setting('Worker', wholeNumber(1_000, 10 * 60_000), {
    default: '60000',
    unit: 'milliseconds',
    description:
      'How long an activity moves batches before it reports to its workflow, ten times as long while nothing moves; taken when a table is added.',
  }),
  PG2CLICK_SLOTS: setting('Worker', wholeNumber(2, 5_000), {
    default: '400',
    description:
      'Activities a worker runs at once per task queue. A table needs one, and two of the producers while it is copied. add counts with this number too, and refuses a table that has no slot.',
  }),
  PG2CLICK_CONNECTIONS: setting('Worker', wholeNumber(1, 500), {
    default: '12',
    description:
      'Connections to PostgreSQL that the tables of a worker share for reading changes. An idle table holds none. Besides them a worker holds at most 8 for the ledger, 1 that watches, 1 that probes, 4 that prepare and remove tables, 4 that load tables of --payload key, and those of PG2CLICK_COPIES.',
  }),
  PG2CLICK_COPIES: setting('Worker', wholeNumber(1, 100), {
    default: '4',
    description:
      'Connections to PostgreSQL with which the copies of a worker read, all together; a copy that gets none waits its turn.',
  }),
  PG2CLICK_COPY_READERS: setting('Worker', wholeNumber(1, 100), {
    default: '2',
    description:
      'Connections with which one copy reads, at most, each a chunk of the table. The first waits its turn; the others are taken while no other copy waits.',
  }),
  PG2CLICK_COPY_CHUNK_MB: setting('Worker', wholeNumber(1, 1_000_000), {
    default: '128',
    description:
      'Size of a chunk of a copy, megabytes on the disk of PostgreSQL. Each is read in a transaction of its own, and a worker that dies leaves its chunks to be read again.',
  }),
  PG2CLICK_COPY_MB_PER_SECOND: setting('Worker', wholeNumber(0, 1_000_000), {
    default: '0',
    description:
      'What the copies of a worker read at most, together, in megabytes of text a second; 0 for no limit. For a PostgreSQL that has others to serve.',
  }),
  PG2CLICK_WAL_BUDGET_MB: setting('Worker', wholeNumber(1, 100_000_000), {
    unit: 'megabytes',
    defaultWords: 'none: warnings only',
    description:
      'What the tables that are captured from the WAL may take on the disk of PostgreSQL: the WAL that it keeps for their slot, and their outboxes. Above it the table that takes the most is detached, and has to be copied again. The same for all workers.',
  }),
  PG2CLICK_QUARANTINE_ROWS: setting('Worker', wholeNumber(0, 1_000_000), {
    default: '1000',
    description:
      'Rows of a table that may be in quarantine at once: rows that ClickHouse refuses, while the table goes on. Above it the table parks. 0: the first such row parks it.',
  }),
  PG2CLICK_QUARANTINE_PERCENT: setting('Worker', wholeNumber(1, 100), {
    default: '50',
    unit: 'percent',
    description:
      'The largest part of a batch that goes to quarantine, where more than 100 of its rows are refused. Above it the table parks: its target does not fit.',
  }),
  PG2CLICK_METRICS: setting('Worker', hostAndPort, {
    description: "host:port where a worker offers its metrics to Prometheus, Temporal's among them; none when not set.",
  }),
  PG2CLICK_HEALTH: setting('Worker', hostAndPort, {
    description: 'host:port where a worker answers /healthz and /readyz; none when not set.',
  }),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** What reading the table gives. */
export type SettingValues = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Setting<infer T> ? T : never;
};

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}
