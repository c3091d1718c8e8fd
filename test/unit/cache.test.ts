import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cacheDirectory, cached } from '../../dev/stack/cache.js';

let cache: string;

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'pg2click-cache-'));
  vi.stubEnv('PG2CLICK_CACHE', cache);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true, force: true });
});

const fill = (text: string) => (directory: string) => {
  writeFileSync(join(directory, 'content'), text);
  return Promise.resolve();
};

test('an entry is filled once', async () => {
  await cached('entry', fill('first'));
  const entry = await cached('entry', fill('second'));
  expect(readFileSync(join(entry, 'content'), 'utf8')).toBe('first');
});

test('a fill that fails leaves nothing, and the next one starts over', async () => {
  const broken = (directory: string) => {
    writeFileSync(join(directory, 'half'), '');
    return Promise.reject(new Error('network'));
  };
  await expect(cached('entry', broken)).rejects.toThrow('network');
  expect(readdirSync(cache)).toEqual([]);
  expect(readdirSync(await cached('entry', fill('whole')))).toEqual(['content']);
});

test('two that fill the same entry at the same time both get it whole', async () => {
  const [one, two] = await Promise.all([cached('entry', fill('same')), cached('entry', fill('same'))]);
  expect(one).toBe(two);
  expect(readdirSync(cache)).toEqual(['entry']);
});

test('what a killed process left half filled is removed, what a live one fills is not', async () => {
  const [dead, live] = [join(cache, 'entry.tmp-4194305-x'), join(cache, `entry.tmp-${process.pid}-x`)]; // above the largest pid
  mkdirSync(dead);
  mkdirSync(live);
  await cached('entry', fill('whole'));
  expect(readdirSync(cache).toSorted()).toEqual(['entry', `entry.tmp-${process.pid}-x`]);
});

test.each([
  [{ PG2CLICK_CACHE: '/own', XDG_CACHE_HOME: '/xdg' }, '/own'],
  [{ PG2CLICK_CACHE: '', XDG_CACHE_HOME: '/xdg' }, '/xdg/pg2click'],
])('%o puts the cache in %s', (env, directory) => {
  expect(cacheDirectory(env)).toBe(directory);
});
