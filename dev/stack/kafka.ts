import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../src/failure/failure.js';
import { packageRoot } from '../../src/package-root.js';
import { cached } from './cache.js';
import type { ServerContext, Server } from './server.js';
import { isMissingProgram, runTool } from './tool.js';

const USER = 'pg2click';
/** What Maven downloads; it names the version. */
const POM = join(packageRoot, 'dev', 'stack', 'kafka-pom.xml');
const OWN_SERVER =
  'or set KAFKA_BOOTSTRAP to use a Kafka of your own, or give --no-kafka to do without; the other servers do not need it.';

const LOGGING = `status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
`;

/** Apache Kafka as one KRaft node, from its Maven artifacts, on the Java of this machine. */
export const kafkaServer: Server<'kafka'> = {
  title: 'Kafka',
  portNames: ['kafka', 'kafkaSsl', 'kafkaController'],
  setting: 'KAFKA_BOOTSTRAP',
  stopSignal: 'SIGTERM',
  startRetries: 0,

  address: (ports, secrets, ssl) => ({
    bootstrap: `127.0.0.1:${ports.kafka}`,
    ...(ssl === undefined
      ? {}
      : { ssl, sasl: { mechanism: 'scram-sha-512', username: USER, password: secrets.kafka } }),
  }),

  async prepare(context) {
    const java = await findJava(context.signal);
    const version = /<kafka\.version>([\d.]+)</u.exec(await readFile(POM, 'utf8'))?.[1] ?? '';
    const libraries = await cached(`kafka-${version}`, (directory) => download(context, version, directory));
    await mkdir(context.directory, { recursive: true, mode: 0o700 });
    const properties = join(context.directory, 'server.properties');
    const logging = join(context.directory, 'log4j2.properties');
    await writeFile(properties, serverProperties(context), { mode: 0o600 });
    await writeKeys(context);
    await writeFile(logging, LOGGING);
    const jvm = [
      // It holds a message twice while it takes it in: with 512 MB some of 64 MB were too many.
      '-Xmx1g',
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      `-Dlog4j2.configurationFile=${logging}`,
      '-cp',
      join(libraries, '*'),
    ];
    await format(context, java, jvm, properties);
    return { command: java, args: [...jvm, 'kafka.Kafka', properties], cwd: context.directory };
  },

  async probe(context) {
    const { Kafka, logLevel } = (await import('kafkajs')).default;
    const { bootstrap, ssl, sasl } = kafkaServer.address(context.ports, context.secrets, context.tls);
    const admin = new Kafka({
      brokers: [bootstrap],
      ...(ssl === undefined ? {} : { ssl: { ca: ssl.ca } }),
      ...(sasl === undefined ? {} : { sasl }),
      logLevel: logLevel.NOTHING,
      retry: { retries: 0 },
      connectionTimeout: 1_000,
    }).admin();
    try {
      await admin.connect();
      // The listener opens before the broker is part of the cluster; until then it names no brokers.
      const { brokers } = await admin.describeCluster();
      if (brokers.length === 0) throw new Error('the broker has not joined its cluster yet');
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  },

  async wipe(directory) {
    await rm(directory, { recursive: true, force: true });
  },
};

function serverProperties(context: ServerContext): string {
  const { ports, directory } = context;
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${ports.kafkaController}
controller.listener.names=CONTROLLER
${context.tls === undefined ? openListeners(context) : secureListeners(context)}
log.dirs=${join(directory, 'data')}
# One node has no replicas to wait for.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# 50 partitions of each would be opened and checked again after every kill.
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
# The first member of a group need not wait 3 s for others.
group.initial.rebalance.delay.ms=0
# 128 MB of the heap by default.
log.cleaner.dedupe.buffer.size=16777216
`;
}

function openListeners({ ports }: ServerContext): string {
  return `listeners=PLAINTEXT://127.0.0.1:${ports.kafka},CONTROLLER://127.0.0.1:${ports.kafkaController}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports.kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT`;
}

/** Users by TLS on one port, client certificates on the other, on which the broker also speaks to itself. */
function secureListeners({ ports, directory, secrets }: ServerContext): string {
  const login = (mechanism: string, module: string): string =>
    `listener.name.sasl_ssl.${mechanism}.sasl.jaas.config=org.apache.kafka.common.security.${module}`;
  return `listeners=SASL_SSL://127.0.0.1:${ports.kafka},SSL://127.0.0.1:${ports.kafkaSsl},CONTROLLER://127.0.0.1:${ports.kafkaController}
advertised.listeners=SASL_SSL://127.0.0.1:${ports.kafka},SSL://127.0.0.1:${ports.kafkaSsl}
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SSL
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=${join(directory, 'server.pem')}
ssl.truststore.type=PEM
ssl.truststore.location=${join(directory, 'ca.pem')}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
${login('plain', `plain.PlainLoginModule required user_${USER}="${secrets.kafka}";`)}
${login('scram-sha-256', 'scram.ScramLoginModule required;')}
${login('scram-sha-512', 'scram.ScramLoginModule required;')}`;
}

async function writeKeys({ directory, tls }: ServerContext): Promise<void> {
  if (tls === undefined) return;
  await writeFile(join(directory, 'ca.pem'), tls.ca);
  await writeFile(join(directory, 'server.pem'), `${tls.key}${tls.cert}`, { mode: 0o600 });
}

/** Java 17 or later: JAVA_HOME's, else PATH's. */
async function findJava(signal: AbortSignal): Promise<string> {
  const home = process.env['JAVA_HOME'];
  const java = home === undefined || home === '' ? 'java' : join(home, 'bin', 'java');
  const advice = `Install a JDK or JRE of version 17 or later (apt install openjdk-17-jre-headless, brew install openjdk@17), ${OWN_SERVER}`;
  let output: string;
  try {
    output = (await runTool({ command: java, args: ['-version'], signal })).tail.join('\n');
  } catch (error) {
    if (!isMissingProgram(error)) throw error;
    const where = java === 'java' ? 'no java on PATH' : `no ${java}, where JAVA_HOME points to`;
    throw new Failure('Misconfigured', {
      message: `Kafka needs Java 17 or later, and there is ${where}.`,
      remedy: advice,
    });
  }
  const version = /version "(?:1\.)?(\d+)/.exec(output)?.[1];
  if (version === undefined || Number(version) >= 17) return java;
  throw new Failure('Misconfigured', {
    message: `Kafka needs Java 17 or later, and ${java} is version ${version}.`,
    remedy: advice,
  });
}

async function download(context: ServerContext, version: string, directory: string): Promise<void> {
  let files = 0;
  context.step(`downloading Kafka ${version} with Maven (43 MB, once)`);
  try {
    const { code, tail } = await runTool({
      command: 'mvn',
      args: ['--batch-mode', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${directory}`],
      cwd: directory,
      signal: context.signal,
      onLine: (line) => {
        if (line.includes('Downloaded') && line.includes('.jar')) {
          context.step(`downloading Kafka ${version} with Maven: ${++files} files`);
        }
      },
    });
    if (code !== 0) {
      const errors = tail.filter((line) => line.startsWith('[ERROR]')).map((line) => line.slice(7).trim());
      const reason = errors.find((line) => line !== '') ?? tail.at(-1);
      throw new Failure('Misconfigured', {
        message: `Maven could not download Kafka ${version}: ${reason ?? 'no message'}`,
        remedy: `Check the network or the mirror in ~/.m2/settings.xml, ${OWN_SERVER}`,
      });
    }
  } catch (error) {
    if (!isMissingProgram(error)) throw error;
    throw new Failure('Misconfigured', {
      message: 'Kafka is downloaded with Maven, and there is no mvn on PATH.',
      remedy: `Install Maven (apt install maven, brew install maven), ${OWN_SERVER}`,
    });
  }
  if (!(await readdir(directory)).some((file) => file.startsWith('kafka_'))) {
    throw new Failure('Misconfigured', { message: `Maven ended well and left no Kafka in ${directory}.` });
  }
}

/** Formats the data folder once; the marker comes last, so that a killed format starts over. */
async function format(context: ServerContext, java: string, jvm: readonly string[], properties: string): Promise<void> {
  const marker = join(context.directory, 'formatted');
  if (existsSync(marker)) return;
  context.step('formatting the log folder');
  await rm(join(context.directory, 'data'), { recursive: true, force: true });
  // As StorageTool's random-uuid does: 16 bytes in base64url that do not begin with a dash.
  const clusterId = `p${randomBytes(16).toString('base64url').slice(1)}`;
  // In a file, since a user's password is among the arguments; always, so that the folder also serves a secure stack.
  const file = join(context.directory, 'format.args');
  const users = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${USER},password=${context.secrets.kafka}]`,
  ]);
  const args = [...jvm, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, ...users];
  await writeFile(file, args.map((each) => JSON.stringify(each)).join('\n'), { mode: 0o600 });
  const run = { command: java, args: [`@${file}`], cwd: context.directory, signal: context.signal };
  try {
    const { code, tail } = await runTool(run);
    if (code !== 0)
      throw new Failure('Misconfigured', { message: `Kafka's format failed: ${tail.at(-1) ?? 'no message'}` });
  } finally {
    await rm(file);
  }
  await writeFile(marker, '');
}
