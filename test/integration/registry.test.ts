import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { makeAuthority, makeCertificate } from '../../dev/stack/certificates.js';
import { endProcess } from '../../dev/stack/child.js';
import { startDevRegistry } from '../../dev/stack/dev-registry.js';
import { choosePorts } from '../../dev/stack/port.js';
import type { Registry } from '../../dev/stack/registry.js';
import { startTlsProxy } from '../../dev/stack/tls-proxy.js';
import { SchemaRegistry } from '../../src/connect/schema-registry.js';
import { isAlive } from '../../src/settings/process-identity.js';
import { loadSettings } from '../../src/settings/settings.js';
import { openRegistry } from '../support/registry.js';

const SCHEMA = '{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"],"default":null}]}';

function registryOf(env: Readonly<Record<string, string>>): SchemaRegistry {
  const { registry } = loadSettings({ env, envFile: false, stackFile: false });
  if (registry === undefined) throw new Error('no registry is set');
  return new SchemaRegistry(registry);
}

/** Something that answers everything in one way, and remembers who asked. */
async function openAnswering(status: number, body: string): Promise<{ readonly url: string; readonly seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization ?? '');
    request.resume().once('end', () => response.writeHead(status).end(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

describe('a schema registry', () => {
  let real: Registry;
  beforeAll(async () => {
    real = await openRegistry();
  });
  afterAll(() => real.stop());

  it('gives a schema one id, in every process', async () => {
    const [one, other] = [
      registryOf({ SCHEMA_REGISTRY_URL: real.url }),
      registryOf({ SCHEMA_REGISTRY_URL: `${real.url}/` }),
    ];
    await one.probe();
    const id = await one.register('t.a-value', SCHEMA);
    expect([await one.register('t.a-value', SCHEMA), await other.register('t.a-value', SCHEMA)]).toEqual([id, id]);
  });

  it('that takes no schema of another type says so', async () => {
    const registry = registryOf({ SCHEMA_REGISTRY_URL: real.url });
    await registry.register('t.b-value', SCHEMA);
    await fetch(`${real.url}/config/t.b-value`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"compatibility":"BACKWARD"}',
    });
    await expect(registry.register('t.b-value', SCHEMA.replace('"int"', '"string"'))).rejects.toMatchObject({
      kind: 'SchemaRefused',
      message: expect.stringContaining('refuses the schema for subject t.b-value: ') as string,
    });
  });

  it('is reached by TLS, where its authority is trusted', async () => {
    const authority = await makeAuthority();
    const { cert, key } = await makeCertificate(authority);
    const { kafka: from } = await choosePorts({}, {});
    const proxy = await startTlsProxy({ from, to: Number(new URL(real.url).port), cert, key });
    const directory = mkdtempSync(join(tmpdir(), 'pg2click-ca-'));
    onTestFinished(async () => {
      await proxy.close();
      rmSync(directory, { recursive: true });
    });
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, authority.cert);
    const url = `https://127.0.0.1:${from}${new URL(real.url).pathname}`;
    await registryOf({ SCHEMA_REGISTRY_URL: url, SCHEMA_REGISTRY_TLS_CA: ca }).probe();
    await expect(registryOf({ SCHEMA_REGISTRY_URL: url }).probe()).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: `The schema registry ${url} shows a certificate whose authority is not trusted here.`,
    });
  });
});

describe('what is no schema registry for us', () => {
  it.each([
    [401, '', 'LoginRefused', 'does not take the user and password of SCHEMA_REGISTRY_USER.'],
    [403, '', 'Unauthorized', 'does not let us write subject t-value.'],
    [404, '<html>', 'Misconfigured', 'does not speak the HTTP API of Confluent: it answers with status 404.'],
    [200, '<html>', 'Misconfigured', 'does not speak the HTTP API of Confluent: its answer is no JSON.'],
    [200, '{}', 'Misconfigured', 'does not speak the HTTP API of Confluent: its answer has no id.'],
    [422, '{"message":"Invalid\\nschema"}', 'SchemaRefused', 'refuses the schema for subject t-value: Invalid schema'],
    [503, '', 'RegistryUnavailable', 'answers with status 503.'],
  ])('is told apart: status %i, %j', async (status, body, kind, end) => {
    const { url } = await openAnswering(status, body);
    const message = `The schema registry ${url} ${end}`;
    await expect(registryOf({ SCHEMA_REGISTRY_URL: url }).register('t-value', SCHEMA)).rejects.toMatchObject({
      kind,
      message,
    });
  });

  it('refuses the connection where nobody listens', async () => {
    await expect(registryOf({ SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }).probe()).rejects.toMatchObject({
      kind: 'RegistryUnavailable',
      message: 'The schema registry http://127.0.0.1:1 refused the connection: nothing listens there.',
    });
  });

  it('sees the user and password, which no message shows', async () => {
    const { url, seen } = await openAnswering(403, '');
    const registry = registryOf({ SCHEMA_REGISTRY_URL: url.replace('//', '//me:s%3Acret@') });
    const failure = (await registry.register('t-value', SCHEMA).catch((error: unknown) => error)) as Error;
    expect(seen).toEqual([`Basic ${Buffer.from('me:s:cret').toString('base64')}`]);
    expect(failure.message).toBe(`The schema registry ${url} does not let us write subject t-value.`);
  });

  it.each([
    [{ SCHEMA_REGISTRY_PASSWORD: 'x' }, 'The schema registry has a password, and no user.'],
    [{ SCHEMA_REGISTRY_TLS_CA: 'ca.pem' }, 'SCHEMA_REGISTRY_TLS_CA not used: SCHEMA_REGISTRY_URL begins with http://.'],
  ])('is said before anything is connected: %j', (more, message) => {
    expect(() => registryOf({ SCHEMA_REGISTRY_URL: 'http://h:8081', ...more })).toThrow(message);
  });

  it('is not set where its user contradicts its URL', () => {
    const env = { SCHEMA_REGISTRY_URL: 'http://a:b@h', SCHEMA_REGISTRY_USER: 'c', SCHEMA_REGISTRY_PASSWORD: 'b' };
    expect(() => registryOf(env)).toThrow('SCHEMA_REGISTRY_USER and SCHEMA_REGISTRY_URL contradict each other.');
  });
});

it('the registry of a local stack keeps its address and its schemas, and ends the one of a run that was killed', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'pg2click-dev-'));
  const { signal } = new AbortController();
  const first = await startDevRegistry(stateDir, {}, signal);
  onTestFinished(async () => {
    await endProcess(first.identity, 'SIGKILL');
    rmSync(stateDir, { recursive: true });
  });
  const id = await registryOf({ SCHEMA_REGISTRY_URL: first.url }).register('t-value', SCHEMA);
  const second = await startDevRegistry(stateDir, {}, signal);
  onTestFinished(() => second.stop());
  expect(isAlive(first.identity)).toBe(false);
  expect(second.url).toBe(first.url);
  const answer = await fetch(`${second.url}/schemas/ids/${id}`);
  expect(await answer.json()).toMatchObject({ schema: SCHEMA });
});
