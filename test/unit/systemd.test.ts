import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import type { Setting } from '../../src/settings/setting.js';
import { SETTINGS, isSettingName } from '../../src/settings/table.js';
import { WORKER_ROLES } from '../../src/worker/start.js';

const ROLES = WORKER_ROLES.filter((role) => role !== 'all');
const pathOf = (role: string): string => join(packageRoot, 'deploy', 'systemd', `pg2click-${role}.service`);

/** Directives by section and name, each with all its values in order. */
type Unit = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

function readUnit(role: string): Unit {
  const unit: Record<string, Record<string, string[]>> = {};
  let section: Record<string, string[]> = {};
  for (const line of readFileSync(pathOf(role), 'utf8').split('\n')) {
    const name = /^\[(\w+)\]$/u.exec(line)?.[1];
    const [, key, value] = /^(\w+)=(.*)$/u.exec(line) ?? [];
    if (name !== undefined) section = unit[name] = {};
    else if (key !== undefined && value !== undefined) (section[key] ??= []).push(value);
    else expect(line, 'a line that is neither a section, a directive nor a comment').toMatch(/^(?:#.*)?$/u);
  }
  return unit;
}

function environmentOf(unit: Unit): Map<string, string> {
  const pairs = (unit['Service']?.['Environment'] ?? []).flatMap((line) => line.split(' '));
  return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

it.each(ROLES)('the unit of the %s runs that worker, restarts it, and waits while it drains', (role) => {
  const { Service: service = {}, Unit: about = {} } = readUnit(role);
  expect(service['ExecStart']).toEqual([
    `/usr/bin/node /opt/pg2click/dist/src/cli/main.js --no-env-file worker --role ${role}`,
  ]);
  expect(service['Restart']).toEqual(['always']);
  expect(Number(service['RestartSec'])).toBeGreaterThanOrEqual(1);
  expect(about['StartLimitIntervalSec']).toEqual(['0']);
  expect(service['KillSignal']).toEqual(['SIGTERM']);
  // A worker takes 60 s at most.
  expect(Number(service['TimeoutStopSec'])).toBeGreaterThan(70);
});

it.each(ROLES)(
  'the unit of the %s sets only settings that are no secrets, and the files of the operator win',
  (role) => {
    const unit = readUnit(role);
    for (const [name, value] of environmentOf(unit)) {
      if (name === 'NODE_ENV') continue;
      if (!isSettingName(name)) throw new Error(`${name} is not a setting`);
      const { secret, kind }: Setting = SETTINGS[name];
      expect(secret, name).toBe(false);
      expect(kind.schema.safeParse(value).success, `${name}=${value}`).toBe(true);
    }
    expect(unit['Service']?.['EnvironmentFile']).toEqual(['/etc/pg2click/pg2click.env', `-/etc/pg2click/${role}.env`]);
  },
);

it('the settings of the README run under the units: each is known, and its files are none that the units hide', () => {
  const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8');
  const [, lines = ''] = /^cat > \.env <<'EOF'\n(.*?)^EOF$/msu.exec(readme) ?? [];
  const pairs = [...lines.matchAll(/^(\w+)=(.*)$/gmu)].map(([, name = '', value = '']) => [name, value] as const);
  expect(pairs.length).toBeGreaterThan(5);
  for (const [name, value] of pairs) {
    expect(isSettingName(name.replace(/_FILE$/u, '')), name).toBe(true);
    // systemd takes a backslash and a quote for its own; a comment behind a value would be part of it.
    expect(value, name).not.toMatch(/[\\"']|\s#/u);
    if (name.endsWith('_FILE')) expect(value).toMatch(/^\/(?!home|root|tmp|var\/tmp|dev|run\/user)/u);
  }
});

it.each(ROLES)('the unit of the %s gives up what a worker does not need, but for V8’s compiler', (role) => {
  const { Service: service = {} } = readUnit(role);
  const expected = {
    User: 'pg2click',
    Group: 'pg2click',
    NoNewPrivileges: 'yes',
    CapabilityBoundingSet: '',
    ProtectSystem: 'strict',
    ProtectHome: 'yes',
    PrivateTmp: 'yes',
    PrivateDevices: 'yes',
    RestrictNamespaces: 'yes',
    SystemCallArchitectures: 'native',
    MemoryDenyWriteExecute: 'no',
  };
  for (const [name, value] of Object.entries(expected)) expect(service[name], name).toEqual([value]);
  expect(service['SystemCallFilter']).toContain('@system-service');
});

it('both may run on one machine: their addresses differ, and nothing else does but the role', () => {
  const [producer, consumer] = ROLES.map((role) => environmentOf(readUnit(role)));
  for (const name of ['PG2CLICK_METRICS', 'PG2CLICK_HEALTH']) expect(producer?.get(name)).not.toBe(consumer?.get(name));
  const [first, second] = ROLES.map((role) => {
    const {
      ExecStart: _exec,
      Environment: _environment,
      EnvironmentFile: _files,
      ...rest
    } = readUnit(role)['Service'] ?? {};
    return rest;
  });
  expect(first).toEqual(second);
});

it('systemd itself finds nothing wrong with them, where there is one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pg2click-units-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const units = ROLES.map((role) => {
    // What is not installed on this machine would be all it complains of.
    const text = readFileSync(pathOf(role), 'utf8').replace('/usr/bin/node', process.execPath);
    expect(text).toContain(`ExecStart=${process.execPath} `);
    const path = join(folder, `pg2click-${role}.service`);
    writeFileSync(path, text);
    return path;
  });
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], { encoding: 'utf8' });
  if (verified.error !== undefined) {
    expect(verified.error).toMatchObject({ code: 'ENOENT' });
    return;
  }
  const ours = verified.stderr.split('\n').filter((line) => line.includes('pg2click'));
  expect(ours).toEqual([]);
  expect(verified.status, verified.stderr).toBe(0);
});
