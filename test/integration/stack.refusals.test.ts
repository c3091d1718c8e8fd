import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startStack, type StackOptions } from '../../dev/stack/stack.js';
import { writeStackFile } from '../../dev/stack/stack-file.js';
import { Failure } from '../../src/failure/failure.js';
import { ownStateDir, processesOf } from '../support/own-stack.js';
import { identify, isAlive } from '../../src/settings/process-identity.js';
import type { ServerName } from '../../src/settings/server-name.js';

test('a port in use is named in one sentence, and nothing is left running', async () => {
  const squatter = createServer();
  squatter.listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  onTestFinished(() => void squatter.close());
  const { port } = squatter.address() as AddressInfo;
  const stateDir = ownStateDir();
  const failure = await refusal(stateDir, ['postgres', 'temporal'], { ports: { postgres: port } });
  expect(failure.message).toBe(
    `Port ${port}, which PostgreSQL of the local stack would listen on, is in use by another program.`,
  );
  expect(failure.remedy).toContain('PG_HOST or PG_URL');
  expect(processesOf(stateDir)).toEqual([]);
});

test.each([
  ['kafka', [], 'Kafka needs Java 17 or later, and there is no java on PATH.', 'KAFKA_BOOTSTRAP'],
  ['kafka', ['java'], 'Kafka is downloaded with Maven, and there is no mvn on PATH.', 'KAFKA_BOOTSTRAP'],
  [
    'temporal',
    [],
    'There is no Temporal server to start: no temporal on PATH, no python3 whose pip could download it, and no go to build it with.',
    'TEMPORAL_ADDRESS',
  ],
] as const)(
  '%s with only %j on PATH says what is missing and what works without it',
  async (server, present, message, setting) => {
    onlyOnPath(present);
    const failure = await refusal(ownStateDir(), [server]);
    expect(failure.message).toBe(message);
    expect(failure.remedy).toMatch(/^Install .* or set/);
    expect(failure.remedy).toContain(setting);
    expect(failure.remedy).toContain('the other servers do not need it');
  },
);

test('too old a Java is named with its version', async () => {
  const directory = onlyOnPath([]);
  writeFileSync(join(directory, 'java'), `#!/bin/sh\necho 'openjdk version "1.8.0_392"' >&2\n`, { mode: 0o755 });
  const failure = await refusal(ownStateDir(), ['kafka']);
  expect(failure.message).toBe('Kafka needs Java 17 or later, and java is version 8.');
});

test('a download that fails leaves no half-filled cache, and the build tool’s reason is passed on', async () => {
  const directory = onlyOnPath([]);
  const [java, mvn] = [`echo 'openjdk version "17.0.1"' >&2`, `echo '[ERROR] Unknown host repository'; exit 1`];
  for (const [name, script] of Object.entries({ java, mvn })) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const failure = await refusal(ownStateDir(), ['kafka']);
  expect(failure.message).toBe('Maven could not download Kafka 4.1.1: Unknown host repository');
  expect(readdirSync(join(directory, 'cache'))).toEqual([]);
});

test('a server that gives up at its start is quoted with its log, and its siblings are stopped', async () => {
  const stateDir = ownStateDir();
  const before = await startStack({ stateDir, servers: ['postgres'], report: () => undefined });
  await before.stop();
  writeFileSync(join(stateDir, 'postgres', 'cluster', 'PG_VERSION'), '9.6\n');
  const failure = await refusal(stateDir, ['postgres', 'temporal']);
  expect(failure.message).toMatch(
    /^PostgreSQL exited with code 1 at its start \(".*FATAL:.*database files are incompatible/,
  );
  expect(failure.message).toContain(`its log is ${join(stateDir, 'logs', 'postgres.log')}.`);
  expect(processesOf(stateDir)).toEqual([]);
});

test('a stranger that got an orphan’s pid is left alone', async () => {
  const stranger = spawn('sleep', ['600']);
  await once(stranger, 'spawn');
  onTestFinished(() => void stranger.kill());
  const stateDir = ownStateDir();
  const identity = identify(stranger.pid ?? 0);
  if (identity === undefined) throw new Error('sleep is not running');
  writeStackFile(stateDir, {
    children: { postgres: { ...identity, startTime: 'earlier' } },
    ports: {},
    secrets: { postgres: 'unused', kafka: 'unused', clickhouse: 'unused' },
    addresses: {},
  });
  const stack = await startStack({ stateDir, servers: [], report: () => undefined });
  await stack.stop();
  expect(isAlive(identity)).toBe(true);
});

test('a folder that is not a stack’s is neither used nor wiped', async () => {
  const stateDir = ownStateDir();
  const precious = join(stateDir, 'postgres', 'precious');
  mkdirSync(join(stateDir, 'postgres'));
  writeFileSync(precious, '');
  const failure = await refusal(stateDir, ['postgres'], { reset: true });
  expect(failure.message).toContain('has a folder postgres but no stack.json');
  expect(existsSync(precious)).toBe(true);
});

test('a changed password ends the wait at once', async () => {
  const stateDir = ownStateDir();
  const first = await startStack({ stateDir, servers: ['postgres'], report: () => undefined });
  const client = new pg.Client({ ...first.addresses.postgres });
  await client.connect();
  await client.query(/* sql */ `alter role postgres password 'another'`);
  await client.end();
  await first.stop();
  const failure = await refusal(stateDir, ['postgres']);
  expect(failure.message).toContain('no longer takes the password in stack.json');
  expect(processesOf(stateDir)).toEqual([]);
});

test('an abort while it starts ends what was started', async () => {
  const stateDir = ownStateDir();
  const abort = new AbortController();
  const start = startStack({
    stateDir,
    servers: ['postgres', 'temporal'],
    signal: abort.signal,
    report: (event) => event.kind === 'ready' && abort.abort(new Error('not wanted any more')),
  });
  await expect(start).rejects.toThrow('not wanted any more');
  expect(processesOf(stateDir)).toEqual([]);
});

async function refusal(
  stateDir: string,
  servers: readonly ServerName[],
  options: Partial<StackOptions> = {},
): Promise<Failure> {
  const failure = await startStack({ stateDir, servers, report: () => undefined, ...options }).then(
    () => new Error('the stack started'),
    (error: unknown) => error,
  );
  if (!(failure instanceof Failure)) throw failure;
  expect(failure.kind).toBe('Misconfigured');
  return failure;
}

/** For this test PATH holds these programs only, and the cache is empty. @returns the folder that PATH names */
function onlyOnPath(programs: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-path-'));
  for (const program of programs) {
    const found = (process.env['PATH'] ?? '').split(':').find((folder) => existsSync(join(folder, program)));
    if (found === undefined) throw new Error(`this test needs ${program} on PATH`);
    symlinkSync(join(found, program), join(directory, program));
  }
  vi.stubEnv('PATH', directory);
  vi.stubEnv('JAVA_HOME', undefined);
  vi.stubEnv('PG2CLICK_CACHE', join(directory, 'cache'));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}
