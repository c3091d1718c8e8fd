import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority, makeCertificate } from '../../dev/stack/certificates.js';
import { Failure } from '../../src/failure/failure.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';

const directory = mkdtempSync(join(tmpdir(), 'pg2click-security-'));
let ca: string;

beforeAll(async () => {
  const authority = await makeAuthority();
  const [one, other] = await Promise.all([makeCertificate(authority), makeCertificate(authority)]);
  ca = authority.cert;
  for (const [name, content] of Object.entries({
    'ca.pem': authority.cert,
    'one.pem': one.cert,
    'one.key': one.key,
    'other.key': other.key,
    'der.pem': 'MII, but not in PEM form',
    'broken.pem': `${authority.cert}-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n`,
  }))
    writeFileSync(join(directory, name), content);
});
afterAll(() => rmSync(directory, { recursive: true }));

function load(env: Record<string, string>): Settings {
  return loadSettings({ env, envFile: false, stackFile: false, directory });
}

function refusal(env: Record<string, string>): string {
  try {
    load(env);
  } catch (error) {
    if (error instanceof Failure && error.kind === 'Misconfigured') return error.message;
    throw error;
  }
  throw new Error('the settings were accepted');
}

describe('TLS', () => {
  it('is off where nothing asks for it', () => {
    const { postgres, kafka, clickhouse } = load({});
    expect([postgres.tls, kafka.tls, kafka.sasl, clickhouse.tls]).toEqual([undefined, undefined, undefined, undefined]);
    expect(clickhouse.url).toBe('http://localhost:8123');
  });

  it.each([
    ['disable', undefined],
    ['no-verify', 'nothing'],
    ['verify-ca', 'authority'],
    ['require', 'full'],
    ['verify-full', 'full'],
  ])('PG_SSLMODE=%s, alone or in the URL, verifies %s', (mode, verify) => {
    expect(load({ PG_SSLMODE: mode }).postgres.tls?.verify).toBe(verify);
    expect(load({ PG_URL: `postgres://h/db?sslmode=${mode}` }).postgres.tls?.verify).toBe(verify);
  });

  it('is on, and verifies all, where a file of it is named', () => {
    const settings = load({ PG_SSLROOTCERT: 'ca.pem', KAFKA_TLS_CA: 'ca.pem', CH_TLS_CA: 'ca.pem' });
    const tls = { verify: 'full', ca, client: undefined };
    expect(settings).toMatchObject({ postgres: { tls }, kafka: { tls }, clickhouse: { tls } });
    expect(settings.clickhouse.url).toBe('https://localhost:8443');
    expect(load({ PG_URL: `postgres://h/db?sslrootcert=${directory}/ca.pem` }).postgres.tls).toEqual(tls);
  });

  it('takes what Node trusts where no CA is named, or libpq’s word for it', () => {
    expect(load({ KAFKA_TLS: 'true' }).kafka.tls?.ca).toBeUndefined();
    expect(load({ PG_SSLROOTCERT: 'system' }).postgres.tls).toEqual({
      verify: 'full',
      ca: undefined,
      client: undefined,
    });
  });

  it('comes with https, and its port with CH_TLS', () => {
    expect(load({ CH_URL: 'https://ch/shop' }).clickhouse).toMatchObject({ url: 'https://ch:443', tls: {} });
    expect(load({ CH_HOST: 'ch', CH_TLS: 'true' }).clickhouse.url).toBe('https://ch:8443');
    expect(load({ CH_HOST: 'ch', CH_TLS: 'true', CH_PORT: '9' }).clickhouse.url).toBe('https://ch:9');
  });

  it('is not spoken over a Unix socket', () => {
    expect(load({ PG_HOST: '/run/postgresql', PG_SSLMODE: 'verify-full' }).postgres.tls).toBeUndefined();
  });

  it('warns of files that are left unused', () => {
    expect(load({ PG_SSLMODE: 'disable', PG_SSLROOTCERT: 'ca.pem' }).warnings).toEqual([
      'PG_SSLROOTCERT not used: PG_SSLMODE in the environment switches TLS off.',
    ]);
    expect(load({ CH_URL: 'http://ch', CH_TLS_CA: 'ca.pem' }).warnings).toEqual([
      'CH_TLS_CA not used: CH_TLS in the environment (CH_URL) switches TLS off.',
    ]);
  });

  it('shows a client certificate, whose key prints nowhere', () => {
    const { kafka } = load({ KAFKA_TLS_CERT: 'one.pem', KAFKA_TLS_KEY: 'one.key' });
    expect(kafka.tls?.client?.key.reveal()).toContain('BEGIN PRIVATE KEY');
    expect(`${inspect(kafka, { depth: 9, showHidden: true })}${JSON.stringify(kafka)}`).not.toContain('PRIVATE KEY');
  });
});

describe('before anything is connected, one sentence tells of', () => {
  it.each([
    [
      { KAFKA_TLS_CA: 'nope.pem' },
      'The file nope.pem, which KAFKA_TLS_CA in the environment names, cannot be read (ENOENT).',
    ],
    [
      { PG_URL: 'postgres://h/db?sslrootcert=nope.pem' },
      'The file nope.pem, which PG_SSLROOTCERT in the environment (PG_URL) names, cannot be read (ENOENT).',
    ],
    [
      { CH_TLS_CA: 'der.pem' },
      'The file der.pem, which CH_TLS_CA in the environment names, does not hold a certificate in PEM form.',
    ],
    [
      { PG_SSLROOTCERT: 'broken.pem' },
      'The file broken.pem, which PG_SSLROOTCERT in the environment names, does not hold a certificate in PEM form.',
    ],
    [
      { KAFKA_TLS_CERT: 'one.pem', KAFKA_TLS_KEY: 'other.key' },
      'The private key in other.key, which KAFKA_TLS_KEY in the environment names, does not belong to the certificate in one.pem, which KAFKA_TLS_CERT in the environment names.',
    ],
    [
      { PG_SSLCERT: 'one.pem', PG_SSLKEY: 'ca.pem' },
      'The file ca.pem, which PG_SSLKEY in the environment names, does not hold a private key in PEM form.',
    ],
    [
      { PG_SSLCERT: 'one.pem' },
      'PG_SSLCERT in the environment is set without PG_SSLKEY: a client certificate and its key go together.',
    ],
    [
      { TEMPORAL_TLS_SERVER_CA_CERT_PATH: 'nope.pem' },
      'The file nope.pem, which TEMPORAL_TLS_SERVER_CA_CERT_PATH in the environment names, cannot be read (ENOENT).',
    ],
    [
      { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_PASSWORD: 'hush' },
      'KAFKA_SASL_MECHANISM in the environment is set without KAFKA_SASL_USERNAME: a user of Kafka needs all three.',
    ],
    [
      { KAFKA_SASL_PASSWORD: 'hush' },
      'KAFKA_SASL_PASSWORD in the environment is set without KAFKA_SASL_MECHANISM and KAFKA_SASL_USERNAME: a user of Kafka needs all three.',
    ],
    [
      { KAFKA_SASL_MECHANISM: 'gssapi' },
      'KAFKA_SASL_MECHANISM in the environment is "gssapi": expected plain, scram-sha-256 or scram-sha-512.',
    ],
  ])('%j', (env, message) => {
    expect(refusal(env)).toBe(message);
  });
});

describe('SASL', () => {
  const user = { KAFKA_SASL_USERNAME: 'mover', KAFKA_SASL_PASSWORD: 'hush-hush' };

  it.each(['SCRAM-SHA-512', 'scram-sha-256', 'Plain'])('is written as %s', (mechanism) => {
    const { kafka, log } = load({ ...user, KAFKA_SASL_MECHANISM: mechanism, KAFKA_TLS: 'true' });
    expect(kafka.sasl).toMatchObject({ mechanism: mechanism.toLowerCase(), username: 'mover' });
    expect(kafka.sasl?.password.reveal()).toBe('hush-hush');
    expect(log.secrets.map((secret) => secret.reveal())).toContain('hush-hush');
  });

  it('takes its password from a file', () => {
    writeFileSync(join(directory, 'password'), 'from-a-file\n');
    const env = {
      KAFKA_SASL_MECHANISM: 'plain',
      KAFKA_SASL_USERNAME: 'mover',
      KAFKA_SASL_PASSWORD_FILE: join(directory, 'password'),
    };
    expect(load(env).kafka.sasl?.password.reveal()).toBe('from-a-file');
  });

  it('warns of a password that goes in the clear, and only then', () => {
    expect(load({ ...user, KAFKA_SASL_MECHANISM: 'plain' }).warnings).toEqual([
      'KAFKA_SASL_MECHANISM is plain and KAFKA_TLS is not true: the password goes over the network for all to read.',
    ]);
    expect(load({ ...user, KAFKA_SASL_MECHANISM: 'scram-sha-256' }).warnings).toEqual([]);
    expect(load({ ...user, KAFKA_SASL_MECHANISM: 'plain', KAFKA_TLS: 'true' }).warnings).toEqual([]);
  });
});
