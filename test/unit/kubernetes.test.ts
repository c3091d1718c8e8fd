import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { packageRoot } from '../../src/package-root.js';
import type { Setting } from '../../src/settings/setting.js';
import { SETTINGS, isSettingName } from '../../src/settings/table.js';

/*
 * There is no cluster where this is tested: the manifests are held against the schema of Kubernetes, which refuses fields that it
 * does not know, and against the settings and each other.
 */
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly timeoutSeconds: number;
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly resources: { readonly limits: Readonly<Record<string, string>> };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly selector?: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly terminationGracePeriodSeconds?: number;
        readonly containers: readonly [Container];
        readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
      };
    };
  };
}

const FOLDER = join(packageRoot, 'deploy', 'kubernetes');
const schema = JSON.parse(readFileSync(join(packageRoot, 'test', 'fixtures', 'kubernetes.schema.json'), 'utf8')) as {
  readonly kinds: Readonly<Record<string, string>>;
  readonly $defs: object;
};
const manifests = readdirSync(FOLDER).flatMap((file) =>
  parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map((document) => {
    expect(document.errors).toEqual([]);
    return { file, manifest: document.toJS() as Manifest };
  }),
);
const named = manifests.map(({ file, manifest }) => [`${manifest.kind} of ${file}`, manifest] as const);
const ROLES = ['producer', 'consumer'];

function ofKind(kind: string, name?: string): Manifest {
  const found = manifests.find(
    ({ manifest }) => manifest.kind === kind && (name === undefined || manifest.metadata.name === name),
  );
  if (found === undefined) throw new Error(`There is no ${kind} ${name ?? ''}`);
  return found.manifest;
}

function podOf(manifest: Manifest): NonNullable<NonNullable<Manifest['spec']>['template']>['spec'] {
  const pod = manifest.spec?.template?.spec;
  if (pod === undefined) throw new Error(`${manifest.kind} ${manifest.metadata.name} makes no pods`);
  return pod;
}

const workers = ROLES.map((role) => [role, ofKind('Deployment', `pg2click-${role}`)] as const);
const settings = ofKind('ConfigMap').data ?? {};
const secrets = Object.keys(ofKind('Secret').stringData ?? {});
const SECRETS = '/run/secrets/pg2click';

/** Sentences about what the schema refuses. */
function problemsOf(manifest: Manifest): string[] {
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, strict: false });
  const kind = schema.kinds[manifest.kind];
  if (kind === undefined) return [`${manifest.kind} is not in the schema`];
  ajv.validate({ $defs: schema.$defs, $ref: kind }, manifest);
  return (ajv.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

it.each(named)('the %s is one that Kubernetes takes', (_, manifest) => {
  expect(problemsOf(manifest)).toEqual([]);
});

it('a misspelt field and a value of another type are refused', () => {
  const worker = structuredClone(ofKind('Deployment')) as unknown as { spec: { template: { spec: object } } };
  Object.assign(worker.spec.template.spec, { terminationGracePeriod: 75, restartPolicy: 1 });
  expect(problemsOf(worker as unknown as Manifest).toSorted()).toEqual([
    '/spec/template/spec must NOT have additional properties',
    '/spec/template/spec/restartPolicy must be string,null',
  ]);
});

it('the settings are known, fit their kinds, and name a file of the Secret where one is secret', () => {
  for (const [name, value] of Object.entries(settings)) {
    const base = name.replace(/_FILE$/u, '');
    if (!isSettingName(base)) throw new Error(`${name} is not a setting`);
    const { secret, kind }: Setting = SETTINGS[base];
    expect(secret, name).toBe(name.endsWith('_FILE'));
    if (!secret) expect(kind.schema.safeParse(value).success, `${name}=${value}`).toBe(true);
  }
  const files = Object.values(settings).filter((value) => value.startsWith('/'));
  expect(files.toSorted()).toEqual(secrets.map((name) => `${SECRETS}/${name}`).toSorted());
});

it.each([...workers, ['init', ofKind('Job')] as const])(
  '%s runs the image of this version with those settings',
  (role, manifest) => {
    const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
    const { containers, volumes } = podOf(manifest);
    expect(containers).toMatchObject([
      {
        image: `pg2click:${version}`,
        args: role === 'init' ? ['init'] : ['worker', '--role', role],
        envFrom: [{ configMapRef: { name: ofKind('ConfigMap').metadata.name } }],
        securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      },
    ]);
    const volume = volumes.find(({ secret }) => secret?.secretName === ofKind('Secret').metadata.name);
    expect(containers[0].volumeMounts).toContainEqual({ name: volume?.name, mountPath: SECRETS, readOnly: true });
    if (role === 'init') expect(manifest.metadata.name).toBe(`pg2click-init-${version.replaceAll('.', '-')}`);
  },
);

it.each(workers)(
  'the %s is restarted when it is dead, not when a server is away, and gets the time to end',
  (_, manifest) => {
    const { containers, terminationGracePeriodSeconds } = podOf(manifest);
    const [{ livenessProbe, readinessProbe, startupProbe, ports = [], resources }] = containers;
    expect(livenessProbe?.httpGet).toEqual({ path: '/healthz', port: 'health' });
    expect(startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'health' });
    expect(readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'health' });
    // A stuck event loop does not answer: without a time limit nobody would notice.
    expect(livenessProbe?.timeoutSeconds).toBeGreaterThan(1);
    const offered = Object.fromEntries(ports.map(({ name, containerPort }) => [name, String(containerPort)]));
    expect(settings['PG2CLICK_HEALTH']).toBe(`0.0.0.0:${offered['health']}`);
    expect(settings['PG2CLICK_METRICS']).toBe(`0.0.0.0:${offered['metrics']}`);
    // A worker takes 60 s at most.
    expect(terminationGracePeriodSeconds).toBeGreaterThan(70);
    expect(Object.keys(resources.limits)).toEqual(['memory']);
  },
);

it.each(workers)('the %s and its budget select the pods that it makes, and no others', (role, { spec }) => {
  const { spec: budget } = ofKind('PodDisruptionBudget', `pg2click-${role}`);
  expect(spec?.selector?.matchLabels).toEqual(spec?.template?.metadata.labels);
  expect(budget?.selector).toEqual(spec?.selector);
  expect(spec?.selector?.matchLabels['app.kubernetes.io/component']).toBe(role);
});

it('producer and consumer differ in the role alone', () => {
  const [producer, consumer] = workers.map(([role, manifest]) =>
    JSON.stringify([manifest, ofKind('PodDisruptionBudget', `pg2click-${role}`)]).replaceAll(role, 'ROLE'),
  );
  expect(producer).toBe(consumer);
});
