import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../src/failure/failure.js';
import { loadSettings, withoutSettings, type LoadOptions, type Settings } from '../../src/settings/settings.js';
import { newSecrets, writeStackFile } from '../../dev/stack/stack-file.js';
import { identify, type ProcessIdentity } from '../../src/settings/process-identity.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pg2click-settings-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** HOME is the test's folder: a Temporal configuration file of this machine must not speak here. */
function load(env: Record<string, string> = {}, options: LoadOptions = {}): Settings {
  return loadSettings({ env: { HOME: directory, ...env }, directory, ...options });
}

function refusal(env: Record<string, string> = {}, options: LoadOptions = {}): Failure {
  try {
    load(env, options);
  } catch (error) {
    if (error instanceof Failure && error.kind === 'Misconfigured') return error;
    throw error;
  }
  throw new Error('the settings were accepted');
}

function write(name: string, ...lines: string[]): string {
  writeFileSync(join(directory, name), `${lines.join('\n')}\n`);
  return join(directory, name);
}

describe('where settings come from', () => {
  it('has a default for everything that is needed', () => {
    const settings = load();
    expect(settings.postgres).toMatchObject({ host: 'localhost', port: 5432, database: 'postgres', user: 'postgres' });
    expect(settings.clickhouse).toMatchObject({ url: 'http://localhost:8123', database: 'default', user: 'default' });
    expect(settings.kafka.brokers).toEqual(['localhost:9092']);
    expect(settings.temporal).toMatchObject({ address: 'localhost:7233', namespace: 'default' });
    expect(settings.origins).toEqual({
      postgres: 'default',
      kafka: 'default',
      clickhouse: 'default',
      temporal: 'default',
    });
  });

  it('reads .env, and the environment wins over it', () => {
    write('.env', 'PG_HOST=from-file', "PG_DB='shop data'", 'export KAFKA_BOOTSTRAP=a:9092, b:9093 # two');
    const settings = load({ PG_HOST: 'from-environment' });
    expect(settings.postgres).toMatchObject({ host: 'from-environment', database: 'shop data' });
    expect(settings.kafka.brokers).toEqual(['a:9092', 'b:9093']);
    expect(settings.where).toMatchObject({ PG_HOST: 'in the environment', PG_DB: 'in .env' });
  });

  it('reads the file that is named, which must exist', () => {
    write('production.env', 'PG_HOST=production');
    write('.env', 'PG_HOST=here');
    expect(load({}, { envFile: 'production.env' }).postgres.host).toBe('production');
    expect(refusal({}, { envFile: 'missing.env' }).message).toBe('There is no file missing.env to read settings from.');
  });

  it('reads no file at all when told so', () => {
    write('.env', 'PG_HOST=here');
    expect(load({}, { envFile: false }).postgres.host).toBe('localhost');
  });

  it('counts an empty value as not set', () => {
    write('.env', 'PG_HOST=from-file', 'PG_PORT=');
    expect(load({ PG_HOST: '' }).postgres).toMatchObject({ host: 'from-file', port: 5432 });
  });

  it('takes a secret from the file that NAME_FILE names, without the newline at its end', () => {
    const file = write('secret', 'a b#c ');
    expect(load({ PG_PASSWORD_FILE: file }).postgres.password.reveal()).toBe('a b#c ');
    expect(load({ CH_URL_FILE: write('url', 'https://me:pw@ch.example/shop') }).clickhouse).toMatchObject({
      url: 'https://ch.example:443',
      user: 'me',
      database: 'shop',
    });
  });

  it('refuses NAME beside NAME_FILE, and a NAME_FILE that cannot be read', () => {
    expect(refusal({ PG_PASSWORD: 'x', PG_PASSWORD_FILE: '/f' }).message).toBe(
      'Both PG_PASSWORD and PG_PASSWORD_FILE are set in the environment.',
    );
    expect(refusal({ CH_PASSWORD_FILE: '/no/such/file' }).message).toBe(
      'Cannot read /no/such/file, which CH_PASSWORD_FILE in the environment names (ENOENT).',
    );
  });
});

describe('a line of a settings file that would not be read', () => {
  it.each([
    [['PG_HOST'], 'PG_HOST on line 1 of .env has no "=" behind it.'],
    [['# who', 'PG_HOST: db.example.org'], 'PG_HOST on line 2 of .env has no "=" behind it.'],
    [['LEDGER_PG_URL postgres://b@h'], 'LEDGER_PG_URL on line 1 of .env has no "=" behind it.'],
    [['export CH_USER'], 'CH_USER on line 1 of .env has no "=" behind it.'],
    [['PG_HOST=a', 'CH_HOST=c', 'PG_HOST=b'], 'PG_HOST is given twice in .env, on lines 1 and 3.'],
    [
      ["PG_PASSWORD='abc", 'PG_HOST=a'],
      'The value of PG_PASSWORD on line 1 of .env begins with a quote that is not closed.',
    ],
  ])('is refused with its place: %j', (lines, message) => {
    write('.env', ...lines);
    expect(refusal().message).toBe(message);
  });

  it('of another program is left to it, and a value of several lines is one', () => {
    write('.env', 'NODE_ENV', 'A=1', 'A=2', "CERT='x", 'PG_HOST=not this', "y'", 'PG_HOST=db', '');
    expect(load().postgres.host).toBe('db');
  });
});

describe('the local stack', () => {
  const addresses = {
    postgres: { host: '127.0.0.1', port: 20_001, database: 'pg2click', user: 'postgres', password: 'stack-secret' },
    kafka: { bootstrap: '127.0.0.1:20002' },
    clickhouse: { url: 'http://127.0.0.1:20003', user: 'default', password: 'stack-secret', database: 'default' },
    temporal: { address: '127.0.0.1:20004', namespace: 'default', uiUrl: 'http://127.0.0.1:20005/' },
  };

  /** As the stack writes it. */
  function stackFile(owner: ProcessIdentity | undefined): void {
    const stateDir = join(directory, '.pg2click', 'dev');
    mkdirSync(stateDir, { recursive: true });
    writeStackFile(stateDir, {
      ...(owner === undefined ? {} : { owner }),
      children: {},
      ports: {},
      secrets: newSecrets(),
      addresses,
    });
  }

  it('is used where nothing is written, while it runs', () => {
    stackFile(identify(process.pid));
    const settings = load();
    expect(settings.postgres).toMatchObject({ port: 20_001, database: 'pg2click' });
    expect(settings.postgres.password.reveal()).toBe('stack-secret');
    expect(settings.clickhouse.url).toBe('http://127.0.0.1:20003');
    expect(settings.temporal).toMatchObject({ address: '127.0.0.1:20004', uiUrl: 'http://127.0.0.1:20005' });
    expect(settings.origins.kafka).toBe('stack');
  });

  it('is not used once its processes are gone, unless it is named', () => {
    stackFile({ pid: process.pid, startTime: 'of another process' });
    expect(load().origins.postgres).toBe('default');
    const named = load({ PG2CLICK_STACK_FILE: '.pg2click/dev/stack.json' });
    expect(named).toMatchObject({ origins: { postgres: 'stack' }, stackFile: '.pg2click/dev/stack.json' });
    expect(refusal({ PG2CLICK_STACK_FILE: 'elsewhere.json' }).message).toContain('There is no file elsewhere.json');
  });

  it('is refused where another version wrote its file, and says what to do', () => {
    const folder = join(directory, '.pg2click', 'dev');
    mkdirSync(folder, { recursive: true });
    const path = join('.pg2click', 'dev', 'stack.json');
    writeFileSync(join(directory, path), JSON.stringify({ owner: identify(process.pid), children: {}, addresses }));
    const { message, remedy } = refusal();
    expect(message).toContain('is not a file that a local stack of this version wrote');
    expect(remedy).toContain('start it again with "pg2click dev"');
  });

  it('gives nothing of a server whose address is written, not even its password', () => {
    stackFile(identify(process.pid));
    const settings = load({ PG_HOST: 'db.example', TEMPORAL_ADDRESS: 'temporal.example:7233' });
    expect(settings.postgres).toMatchObject({ host: 'db.example', port: 5432, database: 'postgres' });
    expect(settings.postgres.password.reveal()).toBe('');
    expect(settings.temporal).toMatchObject({ address: 'temporal.example:7233', uiUrl: undefined });
    expect(settings.origins).toEqual({ postgres: 'written', kafka: 'stack', clickhouse: 'stack', temporal: 'written' });
  });

  it('is not mixed with the servers of a file that somebody names, unless it is named too', () => {
    stackFile(identify(process.pid));
    write('production.env', 'PG_HOST=db.example', 'TEMPORAL_ADDRESS=temporal.example:7233');
    const { message, remedy } = refusal({}, { envFile: 'production.env' });
    expect(message).toBe(
      'production.env does not say where these servers are, and a local stack runs in this folder: kafka, clickhouse.',
    );
    expect(remedy).toContain('Set KAFKA_BOOTSTRAP, CH_URL there.');
    const env = { PG2CLICK_STACK_FILE: '.pg2click/dev/stack.json' };
    expect(load(env, { envFile: 'production.env' }).origins.kafka).toBe('stack');
  });

  it('yields to the configuration file of the Temporal command line', () => {
    stackFile(identify(process.pid));
    const file = write('temporal.toml', '[profile.default]', 'address = "from.toml:7233"', 'namespace = "orders"');
    const settings = load({ TEMPORAL_CONFIG_FILE: file });
    expect(settings.temporal).toMatchObject({ address: 'from.toml:7233', namespace: 'orders' });
    expect(settings.origins.temporal).toBe('written');
  });
});

describe('Temporal, as its command line finds it', () => {
  it('takes address, namespace and key from TEMPORAL_ names, also those of .env', () => {
    write(
      '.env',
      'TEMPORAL_ADDRESS=t.example:7233',
      'TEMPORAL_API_KEY=key-key-key',
      'TEMPORAL_GRPC_META_X_TEAM=orders',
    );
    const { temporal } = load({ TEMPORAL_NAMESPACE: 'shop' });
    expect(temporal).toMatchObject({ address: 't.example:7233', namespace: 'shop' });
    expect(temporal.connection.reveal()).toMatchObject({
      apiKey: 'key-key-key',
      tls: true,
      metadata: { 'x-team': 'orders' },
    });
  });

  it('refuses a profile that is not there', () => {
    expect(refusal({ TEMPORAL_PROFILE: 'nowhere' }).message).toBe(
      "The settings of Temporal cannot be read: Profile 'nowhere' not found in config data.",
    );
  });
});

describe('a ledger elsewhere', () => {
  it('is none where no URL says so', () => expect(load({ PG_HOST: 'shop' }).ledger).toBeUndefined());

  it('takes nothing from the settings of the tables, whose password is not for another server', () => {
    const { ledger, postgres } = load({
      PG_URL: 'postgres://shop:secret@tables/shop',
      LEDGER_PG_URL: 'postgres://books:p%23w@[::1]:6432/ledger',
    });
    expect(ledger).toMatchObject({ host: '::1', port: 6432, database: 'ledger', user: 'books', tls: undefined });
    expect(ledger?.password.reveal()).toBe('p#w');
    expect(postgres).toMatchObject({ host: 'tables', database: 'shop', user: 'shop' });
    expect(load({ PG_PASSWORD: 'secret', LEDGER_PG_URL: 'postgres://books@there' }).ledger?.password.reveal()).toBe('');
  });

  it('has its password in a setting of its own, and its TLS in the URL', () => {
    const { ledger, log } = load({
      LEDGER_PG_URL: 'postgres://books@there/ledger?sslmode=verify-full',
      LEDGER_PG_PASSWORD: 'secret',
    });
    expect(ledger?.password.reveal()).toBe('secret');
    expect(ledger?.tls).toMatchObject({ verify: 'full' });
    expect(log.secrets.map((secret) => secret.reveal())).toContain('secret');
  });

  it('hides the password that is in its URL', () => {
    const { log } = load({ LEDGER_PG_URL: 'postgres://books:inside@there/ledger' });
    expect(log.secrets.map((secret) => secret.reveal())).toContain('inside');
  });

  it.each([
    [{ LEDGER_PG_HOST: 'h' }, 'LEDGER_PG_HOST in the environment is not a setting: did you mean LEDGER_PG_URL?'],
    [{ LEDGER_PG_PASSWORD: 'secret' }, 'LEDGER_PG_PASSWORD in the environment is set without LEDGER_PG_URL.'],
    [
      { LEDGER_PG_URL: 'postgres://b:one@h', LEDGER_PG_PASSWORD: 'two' },
      'LEDGER_PG_PASSWORD in the environment and LEDGER_PG_URL in the environment contradict each other.',
    ],
    [
      { LEDGER_PG_URL: 'http://h' },
      'LEDGER_PG_URL in the environment is not valid: expected a URL such as postgres://user:password@host:5432/database',
    ],
  ])('%j is refused', (env, message) => {
    expect(() => load(env)).toThrow(message);
  });
});

describe('URLs', () => {
  it('stand for the single names, and let them say what is missing', () => {
    const settings = load({
      PG_URL: 'postgresql://u%40x:p%23w@[::1]:6432/d%20b',
      CH_URL: 'http://ch:8000',
      CH_DB: 'shop',
    });
    expect(settings.postgres).toMatchObject({ host: '::1', port: 6432, database: 'd b', user: 'u@x' });
    expect(settings.postgres.password.reveal()).toBe('p#w');
    expect(settings.clickhouse).toMatchObject({ url: 'http://ch:8000', database: 'shop', user: 'default' });
  });

  it.each([
    [{ PG_URL: 'postgres://h/db', PG_HOST: 'h' }, undefined],
    [
      { PG_URL: 'postgres://h/db', PG_HOST: 'k' },
      'PG_HOST in the environment and PG_URL in the environment contradict each other: "k" and "h".',
    ],
    [
      { PG_URL: 'postgres://u:one@h', PG_PASSWORD: 'two' },
      'PG_PASSWORD in the environment and PG_URL in the environment contradict each other.',
    ],
    [{ CH_URL: 'https://ch', CH_PORT: '8123' }, undefined],
    [
      { CH_URL: 'https://ch:443', CH_PORT: '8123' },
      'CH_PORT in the environment and CH_URL in the environment contradict each other: "8123" and "443".',
    ],
    [
      { PG_URL: 'postgres://h/db?application_name=shop' },
      'PG_URL in the environment has the parameter application_name, which pg2click does not know.',
    ],
    [
      { PG_URL: 'postgres://h/db?sslmode=prefer' },
      'PG_SSLMODE in the environment (PG_URL) is "prefer": expected disable, no-verify, require, verify-ca or verify-full.',
    ],
    [
      { CH_URL: 'https://ch', CH_TLS: 'false' },
      'CH_TLS in the environment and CH_URL in the environment contradict each other: "false" and "true".',
    ],
    [{ PG_URL: 'postgres://h/db?sslmode=disable' }, undefined],
    [
      { CH_URL: 'http://ch/a/b' },
      'CH_URL in the environment has a path of several parts: expected at most a database after the port.',
    ],
  ])('%j', (env, message) => {
    if (message === undefined) expect(() => load(env)).not.toThrow();
    else expect(refusal(env).message).toBe(message);
  });

  it('leave the port to CH_PORT where they have none', () => {
    expect(load({ CH_URL: 'https://ch', CH_PORT: '8123' }).clickhouse.url).toBe('https://ch:8123');
    expect(load({ CH_URL: 'https://ch' }).clickhouse.url).toBe('https://ch:443');
  });

  it('take a bare "@" in a password, which means nothing else there', () => {
    expect(load({ PG_URL: 'postgres://u:p@w@h/db' }).postgres.password.reveal()).toBe('p@w');
  });

  it.each([
    [{ PG_URL: 'postgres://u:5#hush@h/db' }, 'PG_URL in the environment has a bare "#", which cuts', '%23'],
    [{ PG_URL: 'postgres://u:hush#5@h/db' }, 'PG_URL in the environment has a bare "#", which cuts', '%23'],
    [{ PG_URL: 'postgres://u:p@hush#5@h/db' }, 'PG_URL in the environment has a bare "#", which cuts', '%23'],
    [{ PG_URL: 'postgres://u:5/hush@h/db' }, 'PG_URL in the environment has a bare "/", which cuts', '%2F'],
    [{ PG_URL: 'postgres://u:x@hush/hush@h/db' }, 'PG_URL in the environment has a bare "/", which cuts', '%2F'],
    [{ PG_URL: 'postgres://u:5?hush@h/db' }, 'PG_URL in the environment has a bare "?", which cuts', '%3F'],
    [
      { LEDGER_PG_URL: 'postgres://u:5?hush@h/db' },
      'LEDGER_PG_URL in the environment has a bare "?", which cuts',
      '%3F',
    ],
    [{ CH_URL: 'http://u:5#hush@h:8123' }, 'CH_URL in the environment has a bare "#", which cuts', '%23'],
    [{ CH_URL_EU: 'http://u:5/hush@h:8123' }, 'CH_URL_EU in the environment has a bare "/", which cuts', '%2F'],
    [
      { PG_URL: 'postgres://u:hush%C3@h/db' },
      'PG_URL in the environment has characters written as %XX that are not',
      '%C3%A9',
    ],
    [
      { PG_URL: 'postgres://u:hush@h1:5432,h2:5433/app' },
      'PG_URL in the environment names several hosts',
      'takes writes',
    ],
    [
      { PG_URL: 'postgres://u:hush@h/app?channel_binding=require' },
      'PG_URL in the environment has the parameter channel_binding',
      'verify-full',
    ],
    [{ SCHEMA_REGISTRY_URL: 'http://u:5#hush@h:8081' }, 'SCHEMA_REGISTRY_URL in the environment has a bare "#"', '%23'],
  ])('with wrong parts are refused in one sentence without the secret: %j', (env, message, remedy) => {
    const failure = refusal(env as Record<string, string>);
    expect(failure.message).toContain(message);
    expect(`${failure.message} ${failure.remedy}`).toContain(remedy);
    expect(`${failure.message} ${failure.remedy}`).not.toContain('hush');
  });

  it.each([{ PG_URL: 'mysql://u:hush-hush@h/db' }, { PG_URL: 'postgres://u:hush-hush%@h' }, { CH_URL: 'hush-hush' }])(
    'are refused without being shown: %j',
    (env) => {
      const { message } = refusal(env);
      expect(message).toMatch(/^(PG|CH)_URL in the environment is not valid: expected a URL such as /u);
      expect(message).not.toContain('hush');
    },
  );
});

describe('wrong values', () => {
  it.each([
    ['PG_PORT', '54x', 'PG_PORT in the environment is "54x": expected a whole number from 1 to 65535.'],
    ['PG_PORT', '65536', 'PG_PORT in the environment is "65536": expected a whole number from 1 to 65535.'],
    ['CH_PORT', '-1', 'CH_PORT in the environment is "-1": expected a whole number from 1 to 65535.'],
    [
      'CH_HOST',
      'http://ch',
      'CH_HOST in the environment is "http://ch": expected a host name or an address, without a port and without a protocol.',
    ],
    [
      'CH_HOST',
      'ch:8123',
      'CH_HOST in the environment is "ch:8123": expected a host name or an address, without a port and without a protocol.',
    ],
    [
      'KAFKA_BOOTSTRAP',
      'kafka',
      'KAFKA_BOOTSTRAP in the environment is "kafka": expected host:port, or several of them separated by commas.',
    ],
    [
      'KAFKA_BOOTSTRAP',
      'a:1,',
      'KAFKA_BOOTSTRAP in the environment is "a:1,": expected host:port, or several of them separated by commas.',
    ],
    [
      'KAFKA_TOPIC',
      'a/b',
      'KAFKA_TOPIC in the environment is "a/b": expected a name of letters, digits, ".", "_" and "-", at most 249 long.',
    ],
    ['PG2CLICK_FORMAT', 'xml', 'PG2CLICK_FORMAT in the environment is "xml": expected json, packed, avro or debezium.'],
    [
      'PG2CLICK_PIPELINE',
      'a b',
      'PG2CLICK_PIPELINE in the environment is "a b": expected a name of letters, digits, ".", "_" and "-", at most 100 long.',
    ],
    [
      'PG2CLICK_SLICE_MS',
      '1.5',
      'PG2CLICK_SLICE_MS in the environment is "1.5": expected a whole number from 1000 to 600000.',
    ],
  ])('%s=%s', (name, value, message) => {
    expect(refusal({ [name]: value }).message).toBe(message);
  });

  it.each([
    ['PG_HOST', '/var/run/postgresql', '/var/run/postgresql'],
    ['PG_HOST', '[::1]', '::1'],
    ['PG_HOST', 'fe80::1', 'fe80::1'],
  ])('%s=%s is fine', (name, value, host) => {
    expect(load({ [name]: value }).postgres.host).toBe(host);
  });

  it('names the file a wrong value is in', () => {
    write('.env', 'KAFKA_RETENTION_MS=soon');
    expect(refusal().message).toMatch(
      /^KAFKA_RETENTION_MS in \.env is "soon": expected a whole number from 60000 to /u,
    );
  });

  it('refuses a password that a # would cut short', () => {
    write('.env', 'PG_PASSWORD=pa#ss');
    const { message, remedy } = refusal();
    expect(message).toBe('PG_PASSWORD in .env holds a "#" outside quotes, where a comment begins.');
    expect(`${message} ${remedy}`).not.toContain('pa#');
    write('.env', "PG_PASSWORD='pa#ss' # quoted", 'CH_PASSWORD=plain # a comment');
    const settings = load();
    expect(settings.postgres.password.reveal()).toBe('pa#ss');
    expect(settings.clickhouse.password.reveal()).toBe('plain');
  });
});

describe('names that are almost settings', () => {
  it.each([
    ['PG_PASWORD', 'PG_PASSWORD'],
    ['KAFKA_BOOTSTRAPS', 'KAFKA_BOOTSTRAP'],
    ['PG_HSOT', 'PG_HOST'],
    ['CH_DATABASE', 'CH_DB'],
    ['KAFKA_BROKERS', 'KAFKA_BOOTSTRAP'],
    ['PG2CLICK_PIPLINE', 'PG2CLICK_PIPELINE'],
  ])('%s in .env is refused with the nearest name', (name, meant) => {
    write('.env', `${name}=x`);
    expect(refusal().message).toBe(`${name} in .env is not a setting: did you mean ${meant}?`);
  });

  it('warns of them where the setting itself is written too, and in the environment', () => {
    write('.env', 'PG_DATABASE=other', 'PG_DB=mine');
    expect(load({ KAFKA_GRUOP: 'x' }).warnings).toEqual([
      'KAFKA_GRUOP in the environment is not a setting; the nearest is KAFKA_GROUP.',
      'PG_DATABASE in .env is not a setting; the nearest is PG_DB.',
    ]);
  });

  it('warns of other names of that kind in .env, and leaves those of the environment alone', () => {
    write('.env', 'KAFKA_HEAP_OPTS=-Xmx1g', 'COLOR=blue');
    expect(load({ PG_MAJOR_VERSION_INSTALLED: '18' }).warnings).toEqual([
      'KAFKA_HEAP_OPTS in .env is not a setting of pg2click, and is ignored.',
    ]);
  });
});

describe('secrets', () => {
  it('show in no form of the settings', () => {
    const settings = load({
      PG_PASSWORD: 'hush-postgres',
      CH_URL: 'http://me:hush-clickhouse@ch:8123',
      TEMPORAL_ADDRESS: 'localhost:7233',
      TEMPORAL_API_KEY: 'hush-temporal',
    });
    for (const text of [
      inspect(settings, { depth: 10, showHidden: true }),
      JSON.stringify(settings),
      String(settings.postgres.password),
    ])
      expect(text).not.toContain('hush');
    expect(settings.log.secrets.map((secret) => secret.reveal())).toEqual(
      expect.arrayContaining([
        'hush-postgres',
        'hush-clickhouse',
        'hush-temporal',
        'http://me:hush-clickhouse@ch:8123',
      ]),
    );
  });

  it('and all else are frozen', () => {
    const settings = load();
    expect(() => Object.assign(settings.kafka, { group: 'x' })).toThrow(TypeError);
    expect(() => Object.assign(settings, { pipeline: 'x' })).toThrow(TypeError);
  });
});

it('an environment without settings keeps all other names', () => {
  const env = {
    PATH: '/bin',
    PG_HOST: 'h',
    TEMPORAL_ADDRESS: 'a',
    CH_URL: 'u',
    PG2CLICK_CACHE: '/c',
    PG2CLICK_PIPELINE: 'p',
  };
  expect(withoutSettings(env)).toEqual({ PATH: '/bin', PG2CLICK_CACHE: '/c' });
});
