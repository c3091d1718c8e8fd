import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { QuarantineLimits } from '../domain/quarantine.js';
import type { MessageFormat, TransportKind } from '../domain/route.js';
import type { ServerName } from './server-name.js';
import { Failure } from '../failure/failure.js';
import { clickhouseServer, type ClickHouseServer } from './clickhouse-server.js';
import { readClickHouseServers } from './clickhouse-servers.js';
import { readEnvFile, readLayers, type Layer, type WrittenSettings } from './layer.js';
import { readLedgerServer } from './ledger.js';
import { postgresServer, walServer, type PostgresServer } from './postgres-server.js';
import { readValues } from './read-values.js';
import { readRegistryServer, type RegistryServer } from './registry.js';
import { isBareAddress, Secret } from './secret.js';
import { readSecurity, type Sasl, type Security } from './security.js';
import { originOf, readStack, refuseMixture, type AddressOrigin } from './stack.js';
import { SETTINGS, SETTING_NAMES, type SettingName, type SettingValues } from './table.js';
import { readTemporal, type TemporalConnection } from './temporal.js';
import type { Tls } from './tls.js';
import { findUnknownNames, type UnknownName } from './unknown-name.js';
import { expandUrls } from './url.js';

/** Everything pg2click was told, read once and frozen. Secrets are wrapped: they cannot be logged by mistake. */
export interface Settings {
  readonly pipeline: string;
  /** Of outboxes, where nobody says otherwise. */
  readonly transport: TransportKind;
  /** Of the tables. */
  readonly postgres: PostgresServer;
  /** That the WAL is read from; undefined where that is the server of the tables. */
  readonly wal: PostgresServer | undefined;
  /** Of the ledger; undefined where it lies in the database of the tables. */
  readonly ledger: PostgresServer | undefined;
  readonly kafka: {
    readonly brokers: readonly string[];
    /** As ClickHouse reaches them: for its Kafka engine. */
    readonly brokersForClickHouse: readonly string[];
    readonly tls: Tls | undefined;
    readonly sasl: Sasl | undefined;
    /** Topic of the first table. */
    readonly topic: string | undefined;
    readonly group: string;
    readonly partitions: number;
    readonly retentionMs: number;
    readonly format: MessageFormat;
    /** Of logical messages; null: they go nowhere; undefined: where they went before. */
    readonly messages: string | null | undefined;
  };
  /** Of schemas, for messages in Avro; undefined where none is set. */
  readonly registry: RegistryServer | undefined;
  readonly clickhouse: ClickHouseServer & {
    /** Target of the first table. */
    readonly table: string | undefined;
  };
  /** Other ClickHouse servers, which loaders name: by name, lower case. */
  readonly clickhouses: Readonly<Record<string, ClickHouseServer>>;
  readonly temporal: {
    readonly address: string;
    readonly namespace: string;
    /** Holds the API key and the private key. */
    readonly connection: Secret<TemporalConnection>;
    /** Without a slash at its end; undefined where it is not known. */
    readonly uiUrl: string | undefined;
  };
  readonly worker: {
    readonly sliceMs: number;
    readonly slots: number;
    /** Connections that publishing tables share, and those of copies. */
    readonly connections: number;
    readonly copies: number;
    /** Of one copy: its connections, and the bytes of a chunk. */
    readonly copyReaders: number;
    readonly copyChunkBytes: number;
    /** Of all copies together; undefined for no limit. */
    readonly copyBytesPerSecond: number | undefined;
    /** What tables that are captured from the WAL may take on the disk of PostgreSQL; undefined for no limit. */
    readonly walBudgetBytes: number | undefined;
    /** How many rows are set aside before a table parks. */
    readonly quarantine: QuarantineLimits;
    /** `host:port` for Prometheus. */
    readonly metricsAddress: string | undefined;
    /** `host:port` for probers. */
    readonly healthAddress: string | undefined;
  };
  readonly log: {
    readonly level: SettingValues['PG2CLICK_LOG_LEVEL'];
    /** Undefined: pretty on a terminal, JSON elsewhere. */
    readonly format: SettingValues['PG2CLICK_LOG_FORMAT'];
    /** Replaced wherever they would appear in a log line. */
    readonly secrets: readonly Secret[];
  };
  /** The `stack.json` that somebody named, as written. */
  readonly stackFile: string | undefined;
  /** Show where an unexpected error came from. */
  readonly debug: boolean;
  /** Per server: whether the user wrote its address, a local stack runs it, or it is where it usually is. */
  readonly origins: Readonly<Record<ServerName, AddressOrigin>>;
  /** Per setting, where its value comes from, for messages: "in .env". Absent: the default. */
  readonly where: Readonly<Partial<Record<SettingName, string>>>;
  /** Sentences about names that look like settings and are none. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  /** Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * Default: `.env` of the working directory, if there is one; a file that is named must exist. false: neither this nor
   * the Temporal CLI's configuration file is read, only `env`, the stack and the defaults.
   */
  readonly envFile?: string | false | undefined;
  /** A `stack.json` to believe. Default: `PG2CLICK_STACK_FILE`, else `.pg2click/dev/stack.json` while its stack runs. false: none. */
  readonly stackFile?: string | false | undefined;
  readonly directory?: string;
}

/**
 * Settings from the environment, over `.env`, over the addresses of a running local stack, over defaults.
 * @throws Failure `Misconfigured`: the first thing that is wrong, and where it is written
 */
export function loadSettings(options: LoadOptions = {}): Settings {
  const env = options.env ?? process.env;
  const directory = options.directory ?? process.cwd();
  const environment: Layer = { where: 'in the environment', variables: env };
  const file = openEnvFile(options.envFile, directory);
  const layers = file === undefined ? [environment] : [environment, file];

  const written = readLayers(layers);
  const warnings = judgeUnknownNames(layers, written);
  const configFile = options.envFile !== false;
  const temporalVariables = { ...file?.variables, ...env };
  const own = readTemporal(temporalVariables, written, { configFile, directory });
  const stack = openStack(options.stackFile, directory, withTemporal(written, own.found));
  const origins = Object.freeze({
    postgres: originOf('postgres', written, stack),
    kafka: originOf('kafka', written, stack),
    clickhouse: originOf('clickhouse', written, stack),
    temporal: own.found ? 'written' : originOf('temporal', written, stack),
  });

  if (typeof options.envFile === 'string' && options.stackFile === undefined && !written.has('PG2CLICK_STACK_FILE'))
    refuseMixture(origins, options.envFile);

  const all: WrittenSettings = new Map([...stack, ...expandUrls(written)]);
  const values = readValues(all);
  const temporal = stack.has('TEMPORAL_ADDRESS')
    ? readTemporal(temporalVariables, all, { configFile: false, directory })
    : own;
  const security = readSecurity(values, all, directory);
  const ledger = readLedgerServer(all, directory);
  const clickhouses = readClickHouseServers(layers, directory);
  const registry = readRegistryServer(values, all, directory);
  return compose(values, {
    all,
    origins,
    warnings: [...warnings, ...security.warnings],
    temporal,
    security,
    ledger,
    clickhouses,
    registry,
  });
}

/** `env` without any name that pg2click reads: for starting a process that must not meet a production database. */
export function withoutSettings(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !/^(?:PG|LEDGER_PG|KAFKA|SCHEMA_REGISTRY|CH|TEMPORAL)_|^PG2CLICK_(?!CACHE$)/u.test(name),
    ),
  );
}

function openEnvFile(envFile: LoadOptions['envFile'], directory: string): Layer | undefined {
  if (envFile === false) return undefined;
  const path = resolve(directory, envFile ?? '.env');
  const layer = readEnvFile(path, envFile ?? '.env');
  if (layer !== undefined || envFile === undefined) return layer;
  throw new Failure('Misconfigured', { message: `There is no file ${envFile} to read settings from.` });
}

function openStack(stackFile: LoadOptions['stackFile'], directory: string, written: WrittenSettings): WrittenSettings {
  if (stackFile === false) return new Map();
  const named = stackFile ?? written.get('PG2CLICK_STACK_FILE')?.value;
  const path = resolve(directory, named ?? join('.pg2click', 'dev', 'stack.json'));
  if (named !== undefined && !existsSync(path)) {
    throw new Failure('Misconfigured', {
      message: `There is no file ${named} with the addresses of a local stack.`,
      remedy: 'Start the stack with "pg2click dev", or correct PG2CLICK_STACK_FILE.',
    });
  }
  const near = relative(directory, path);
  const shownAs = near.startsWith('..') ? path : near;
  const found = readStack({ path, onlyRunning: named === undefined }, written);
  return new Map([...found].map(([name, { value }]) => [name, { value, where: `in ${shownAs}` }]));
}

/** The Temporal CLI's configuration file may say where the server is: then the stack's is not meant. */
function withTemporal(written: WrittenSettings, found: boolean): WrittenSettings {
  if (!found) return written;
  return new Map([...written, ['TEMPORAL_ADDRESS', { value: '', where: '' }]]);
}

/**
 * A name that is almost a setting is refused: it would silently leave the default in place, of the pipeline for example. In the
 * environment, which other programs share, that holds for the names that are ours alone; the others are only told.
 */
function judgeUnknownNames(layers: readonly Layer[], written: WrittenSettings): string[] {
  const warnings: string[] = [];
  for (const [index, layer] of layers.entries()) {
    for (const unknown of findUnknownNames(Object.keys(layer.variables))) {
      const { name, meant } = unknown;
      const isOurs = index > 0 || /^(?:PG2CLICK|LEDGER_PG)_/u.test(name);
      if (isOurs && meant !== undefined && !written.has(meant)) throw refuse(unknown, layer);
      if (meant !== undefined) warnings.push(`${name} ${layer.where} is not a setting; the nearest is ${meant}.`);
      else if (index > 0) warnings.push(`${name} ${layer.where} is not a setting of pg2click, and is ignored.`);
    }
  }
  return warnings;
}

function refuse({ name, meant }: UnknownName, layer: Layer): Failure {
  return new Failure('Misconfigured', {
    message: `${name} ${layer.where} is not a setting: did you mean ${meant ?? 'another'}?`,
    remedy: 'Correct the name, or remove the line.',
  });
}

function compose(
  values: SettingValues,
  told: {
    all: WrittenSettings;
    origins: Settings['origins'];
    warnings: readonly string[];
    temporal: { address: string; namespace: string; connection: TemporalConnection };
    security: Security;
    ledger: PostgresServer | undefined;
    clickhouses: Settings['clickhouses'];
    registry: RegistryServer | undefined;
  },
): Settings {
  const secrets = SETTING_NAMES.flatMap((name) => {
    const found = SETTINGS[name].secret ? told.all.get(name) : undefined;
    return found === undefined || isBareAddress(found.value) ? [] : [new Secret(found.value)];
  });
  // It may be written inside of a URL.
  if (told.ledger !== undefined && told.ledger.password.reveal() !== '') secrets.push(told.ledger.password);
  if (told.registry !== undefined && told.registry.password.reveal() !== '') secrets.push(told.registry.password);
  for (const { password } of Object.values(told.clickhouses)) if (password.reveal() !== '') secrets.push(password);
  const postgres = postgresServer(values, told.security.postgres);
  const settings: Settings = {
    pipeline: values.PG2CLICK_PIPELINE,
    transport: values.PG2CLICK_TRANSPORT,
    postgres,
    wal: walServer(values, postgres),
    ledger: told.ledger,
    kafka: {
      brokers: Object.freeze(values.KAFKA_BOOTSTRAP),
      brokersForClickHouse: Object.freeze(values.KAFKA_BOOTSTRAP_FOR_CLICKHOUSE ?? values.KAFKA_BOOTSTRAP),
      tls: told.security.kafka,
      sasl: told.security.sasl,
      topic: values.KAFKA_TOPIC,
      group: values.KAFKA_GROUP,
      partitions: values.KAFKA_PARTITIONS,
      retentionMs: values.KAFKA_RETENTION_MS,
      format: values.PG2CLICK_FORMAT,
      messages: messagesTopic(values.PG2CLICK_WAL_MESSAGES_TOPIC),
    },
    registry: told.registry,
    clickhouse: { ...clickhouseServer(values, told.all, told.security.clickhouse), table: values.CH_TABLE },
    clickhouses: told.clickhouses,
    temporal: {
      address: told.temporal.address,
      namespace: told.temporal.namespace,
      connection: new Secret(told.temporal.connection),
      uiUrl: values.PG2CLICK_UI_URL?.href.replace(/\/$/u, ''),
    },
    worker: {
      sliceMs: values.PG2CLICK_SLICE_MS,
      slots: values.PG2CLICK_SLOTS,
      connections: values.PG2CLICK_CONNECTIONS,
      copies: values.PG2CLICK_COPIES,
      copyReaders: values.PG2CLICK_COPY_READERS,
      copyBytesPerSecond:
        values.PG2CLICK_COPY_MB_PER_SECOND === 0 ? undefined : values.PG2CLICK_COPY_MB_PER_SECOND * 1_000_000,
      copyChunkBytes: values.PG2CLICK_COPY_CHUNK_MB * 1024 * 1024,
      walBudgetBytes:
        values.PG2CLICK_WAL_BUDGET_MB === undefined ? undefined : values.PG2CLICK_WAL_BUDGET_MB * 1_000_000,
      quarantine: { rows: values.PG2CLICK_QUARANTINE_ROWS, percent: values.PG2CLICK_QUARANTINE_PERCENT },
      metricsAddress: values.PG2CLICK_METRICS,
      healthAddress: values.PG2CLICK_HEALTH,
    },
    log: { level: values.PG2CLICK_LOG_LEVEL, format: values.PG2CLICK_LOG_FORMAT, secrets: Object.freeze(secrets) },
    stackFile: values.PG2CLICK_STACK_FILE,
    debug: values.PG2CLICK_DEBUG === '1',
    origins: told.origins,
    where: Object.freeze(Object.fromEntries([...told.all].map(([name, { where }]) => [name, where]))),
    warnings: Object.freeze(told.warnings),
  };
  for (const group of Object.values(settings)) Object.freeze(group);
  return Object.freeze(settings);
}

/** A topic of that name would be an odd one. */
const NO_TOPIC = 'none';

function messagesTopic(name: string | undefined): string | null | undefined {
  return name === NO_TOPIC ? null : name;
}
