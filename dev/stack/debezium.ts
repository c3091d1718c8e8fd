import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../src/package-root.js';
import { isAlive } from '../../src/settings/process-identity.js';
import { cached } from './cache.js';
import { endProcess, lastMeaningfulLine, spawnChild, type Child } from './child.js';
import type { StackAddresses } from './server.js';
import { runTool } from './tool.js';

const POM = join(packageRoot, 'dev', 'stack', 'debezium-pom.xml');

const LOGGING = `status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
`;

/** Debezium's connector in a standalone Kafka Connect. Topics are `<name>.<schema>.<table>`. */
export interface Debezium {
  /** Of the slot and the publication, and in front of the topics. */
  readonly name: string;
  /** Starts it, after `kill` where it had noted to be. */
  start(): Promise<void>;
  /** With SIGKILL: what it has sent and not noted comes again. */
  kill(): Promise<void>;
  /** Forgets what it has noted, so that it begins again with a snapshot. Not while it runs. */
  forget(): void;
  /** @throws Error with its last words where it does not run any more */
  requireRunning(): void;
  /** Kills it, and removes what it has noted. */
  close(): Promise<void>;
}

/** @param tables `public.orders`, .. @param properties more of the connector, or other ones than the defaults here */
export async function openDebezium(
  { postgres, kafka }: Pick<StackAddresses, 'postgres' | 'kafka'>,
  {
    name,
    tables,
    properties = {},
    registry,
  }: {
    readonly name: string;
    readonly tables: readonly string[];
    readonly properties?: Readonly<Record<string, string>>;
    /** Of Confluent's API: messages are in Avro. JSON when absent. */
    readonly registry?: string | undefined;
  },
): Promise<Debezium> {
  const libraries = await download();
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-debezium-'));
  const file = (leaf: string, content: string): string => {
    const path = join(directory, leaf);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const print = (all: Readonly<Record<string, string>>): string =>
    Object.entries(all)
      .map(([key, value]) => `${key}=${value}\n`)
      .join('');
  const args = [
    '-Xmx400m',
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    `-Dlog4j2.configurationFile=${file('log4j2.properties', LOGGING)}`,
    '-cp',
    join(libraries, '*'),
    'org.apache.kafka.connect.cli.ConnectStandalone',
    file(
      'worker.properties',
      print({
        'bootstrap.servers': kafka.bootstrap,
        ...convertersOf(registry),
        'offset.storage.file.filename': join(directory, 'offsets'),
        // Without an offset it would begin with another snapshot.
        'offset.flush.interval.ms': '1000',
        listeners: 'http://127.0.0.1:0',
        'plugin.discovery': 'only_scan',
      }),
    ),
    file(
      'connector.properties',
      print({
        name,
        'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
        'tasks.max': '1',
        'database.hostname': postgres.host,
        'database.port': String(postgres.port),
        'database.user': postgres.user,
        'database.password': postgres.password,
        'database.dbname': postgres.database,
        'topic.prefix': name,
        'plugin.name': 'pgoutput',
        'slot.name': name,
        'publication.name': name,
        'publication.autocreate.mode': 'filtered',
        'table.include.list': tables.join(','),
        'skipped.operations': 'none',
        'topic.creation.default.replication.factor': '1',
        'topic.creation.default.partitions': '1',
        ...properties,
      }),
    ),
  ];
  let child: Child | undefined;
  const kill = async (): Promise<void> => {
    if (child !== undefined) await endProcess(child.identity, 'SIGKILL');
  };
  return {
    name,
    async start() {
      child = await spawnChild({ command: 'java', args, cwd: directory }, join(directory, 'log'));
    },
    kill,
    forget: () => rmSync(join(directory, 'offsets'), { force: true }),
    requireRunning() {
      if (child === undefined || isAlive(child.identity)) return;
      throw new Error(`Debezium ended: ${lastMeaningfulLine(child.logFile, child.logStart) ?? 'it says nothing'}`);
    },
    async close() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function convertersOf(registry: string | undefined): Readonly<Record<string, string>> {
  const json = { converter: 'org.apache.kafka.connect.json.JsonConverter' };
  // The registry has its own API beside Confluent's, under another path.
  const avro = {
    converter: 'io.apicurio.registry.utils.converter.AvroConverter',
    'converter.apicurio.registry.url': registry?.replace('/ccompat/v7', '/registry/v2') ?? '',
    'converter.apicurio.registry.auto-register': 'true',
    'converter.apicurio.registry.find-latest': 'true',
    // Confluent's wire format, with the ids of Confluent's API.
    'converter.apicurio.registry.as-confluent': 'true',
    'converter.apicurio.registry.use-id': 'contentId',
    'converter.apicurio.registry.headers.enabled': 'false',
  };
  const ofBoth = (['key', 'value'] as const).flatMap((which) =>
    Object.entries(registry === undefined ? json : avro).map(([name, value]) => [`${which}.${name}`, value]),
  );
  return Object.fromEntries(ofBoth) as Readonly<Record<string, string>>;
}

function download(): Promise<string> {
  const pom = readFileSync(POM, 'utf8');
  const [debezium, apicurio] = ['debezium', 'apicurio'].map(
    (what) => new RegExp(`<${what}\\.version>([^<]+)<`, 'u').exec(pom)?.[1] ?? '',
  );
  return cached(`debezium-${debezium}-apicurio-${apicurio}`, async (outputDirectory) => {
    const args = ['--batch-mode', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${outputDirectory}`];
    const { code, tail } = await runTool({ command: 'mvn', args, cwd: outputDirectory });
    if (code !== 0) throw new Error(`Maven could not download Debezium: ${tail.at(-1) ?? 'no message'}`);
  });
}
