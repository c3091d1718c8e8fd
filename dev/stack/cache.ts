import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { identify } from '../../src/settings/process-identity.js';

/** Where downloads and builds are kept, outside the checkout: `PG2CLICK_CACHE`, else `XDG_CACHE_HOME/pg2click`, else `~/.cache/pg2click`. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const own = env['PG2CLICK_CACHE'];
  if (own !== undefined && own !== '') return own;
  const xdg = env['XDG_CACHE_HOME'];
  return join(xdg === undefined || xdg === '' ? join(homedir(), '.cache') : xdg, 'pg2click');
}

export function isCached(name: string): boolean {
  return existsSync(join(cacheDirectory(), name));
}

/**
 * The cache entry `name`, made by `fill` when it is not there. It appears whole or not at all: it is filled aside and renamed,
 * so a killed or a second run at the same time does no harm.
 * @returns the entry's folder
 */
export async function cached(name: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const entry = join(cacheDirectory(), name);
  if (existsSync(entry)) return entry;
  await mkdir(cacheDirectory(), { recursive: true });
  await sweep(`${name}.tmp-`);
  const aside = await mkdtemp(`${entry}.tmp-${process.pid}-`);
  try {
    await fill(aside);
    await rename(aside, entry).catch((error: unknown) => {
      if (!existsSync(entry)) throw error;
    });
    return entry;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** Removes what killed processes left half filled. */
async function sweep(prefix: string): Promise<void> {
  for (const name of await readdir(cacheDirectory())) {
    if (!name.startsWith(prefix) || identify(Number(name.slice(prefix.length).split('-')[0])) !== undefined) continue;
    await rm(join(cacheDirectory(), name), { recursive: true, force: true });
  }
}
