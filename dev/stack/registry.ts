import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SchemaRegistry } from '../../src/connect/schema-registry.js';
import { Failure } from '../../src/failure/failure.js';
import type { ProcessIdentity } from '../../src/settings/process-identity.js';
import { Secret } from '../../src/settings/secret.js';
import { cached } from './cache.js';
import { endProcess, lastMeaningfulLine, spawnChild } from './child.js';
import { runTool } from './tool.js';

/** The last that Java 17 runs. */
const VERSION = '3.0.9';
const ARTIFACT = `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`;
const READY_DEADLINE_MS = 60_000;
const PROBE_EVERY_MS = 100;

export interface Registry {
  /** Of Confluent's API. */
  readonly url: string;
  readonly identity: ProcessIdentity;
  stop(): Promise<void>;
}

export interface RegistryOptions {
  readonly port: number;
  /** Keeps the schemas; in memory when absent. */
  readonly directory?: string;
  readonly logFile: string;
  readonly signal: AbortSignal;
  readonly step?: (text: string) => void;
}

/**
 * Apicurio Registry, from its Maven artifact. It speaks the HTTP API of Confluent. Measured: 4 s to its first answer, 240 MB.
 * @throws Failure `Misconfigured` where it cannot be downloaded, or ends at its start
 */
export async function startRegistry({ port, directory, logFile, signal, step }: RegistryOptions): Promise<Registry> {
  const program = await cached(`apicurio-${VERSION}`, (target) => download(target, signal, step));
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  const args = [
    '-Xmx300m',
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    '-Dquarkus.http.host=127.0.0.1',
    `-Dquarkus.http.port=${port}`,
    '-Dquarkus.log.level=WARN',
    // A schema that a message names is on the disk when the registry answers.
    ...(directory === undefined
      ? []
      : [`-Dapicurio.datasource.url=jdbc:h2:file:${join(directory, 'db')};WRITE_DELAY=0`]),
    '-jar',
    join(program, `apicurio-registry-app-${VERSION}-runner.jar`),
  ];
  const child = await spawnChild({ command: 'java', args, cwd: program }, logFile);
  let hasEnded = false;
  void child.exited.then(() => (hasEnded = true));
  const registry = new SchemaRegistry({
    url,
    urlForClickHouse: new Secret(url),
    wouldShowUser: false,
    user: undefined,
    password: new Secret(''),
    tls: undefined,
  });
  for (const deadline = Date.now() + READY_DEADLINE_MS; ; await sleep(PROBE_EVERY_MS)) {
    if (await isReady(registry))
      return {
        url,
        identity: child.identity,
        stop: () => endProcess(child.identity, directory === undefined ? 'SIGKILL' : 'SIGTERM'),
      };
    if (!hasEnded && !signal.aborted && Date.now() < deadline) continue;
    await endProcess(child.identity, 'SIGKILL');
    signal.throwIfAborted();
    throw new Failure('Misconfigured', {
      message: `The schema registry gave up (${lastMeaningfulLine(child.logFile, child.logStart) ?? 'it says nothing'}); its log is ${child.logFile}.`,
    });
  }
}

async function isReady(registry: SchemaRegistry): Promise<boolean> {
  return registry.probe().then(
    () => true,
    () => false,
  );
}

async function download(directory: string, signal: AbortSignal, step?: (text: string) => void): Promise<void> {
  step?.(`downloading Apicurio Registry ${VERSION} with Maven (109 MB, once)`);
  const copy = ['--batch-mode', 'dependency:copy', `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${directory}`];
  const { code, tail } = await runTool({ command: 'mvn', args: copy, cwd: directory, signal });
  if (code !== 0)
    throw new Failure('Misconfigured', {
      message: `Maven could not download Apicurio Registry ${VERSION}: ${tail.at(-1) ?? 'no message'}`,
      remedy: 'Check the network or the mirror in ~/.m2/settings.xml.',
    });
  const archive = `apicurio-registry-app-${VERSION}-all.tar.gz`;
  const unpacked = await runTool({ command: 'tar', args: ['-xzf', archive], cwd: directory, signal });
  if (unpacked.code !== 0) throw new Failure('Misconfigured', { message: `tar could not unpack ${archive}.` });
  await rm(join(directory, archive));
}
