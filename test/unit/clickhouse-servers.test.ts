import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadSettings } from '../../src/settings/settings.js';

function load(env: Readonly<Record<string, string>>) {
  return loadSettings({ env, envFile: false, stackFile: false });
}

it('names other servers by what follows CH_URL_, and none of the values of the first', () => {
  const { clickhouses, warnings } = load({
    CH_URL: 'http://first:secret@one:8123/shop',
    CH_URL_EU: 'https://writer@eu.example/sales',
    CH_PASSWORD_EU: 'hidden',
    CH_URL_US_EAST: 'http://us:8123',
  });
  expect(Object.keys(clickhouses)).toEqual(['eu', 'us_east']);
  expect(clickhouses['eu']).toMatchObject({ url: 'https://eu.example:443', user: 'writer', database: 'sales' });
  expect(clickhouses['eu']?.password.reveal()).toBe('hidden');
  expect(clickhouses['us_east']).toMatchObject({ url: 'http://us:8123', user: 'default', database: 'default' });
  expect(clickhouses['us_east']?.password.reveal()).toBe('');
  expect(warnings).toEqual([]);
});

it('hides their passwords in logs, and reads them from files', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'pg2click-')), 'password');
  writeFileSync(file, 'from a file\n');
  const { log, clickhouses } = load({ CH_URL_EU: 'http://eu:8123', CH_PASSWORD_EU_FILE: file });
  expect(clickhouses['eu']?.password.reveal()).toBe('from a file');
  expect(log.secrets.map((secret) => secret.reveal())).toContain('from a file');
});

it('shows a URL in logs that is an address alone, and hides one with a password in it', () => {
  const [bare, whole] = ['http://registry:8081/apis', 'http://reader:hidden@registry:8081'];
  const secretsOf = (url: string): string[] =>
    load({ SCHEMA_REGISTRY_URL: url }).log.secrets.map((secret) => secret.reveal());
  expect(secretsOf(bare)).toEqual([]);
  expect(secretsOf(whole)).toEqual([whole, 'hidden']);
});

it.each([
  [{ CH_PASSWORD_EU: 'x' }, /CH_PASSWORD_EU in the environment is set without CH_URL_EU/u],
  [{ CH_URL_EU: 'eu:8123/a/b' }, /CH_URL_EU in the environment/u],
  [{ CH_URL_EU: 'http://a:one@eu:8123', CH_PASSWORD_EU: 'two' }, /contradict each other/u],
])('%j is refused', (env, message) => {
  expect(() => load(env)).toThrow(message);
});
