import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOrphans } from '../../dev/stack/stack.js';
import { identify } from '../../src/settings/process-identity.js';

const PREFIX = 'pg2click-test-';

/** A fresh state folder whose name says which process uses it. */
export function newStateDir(): string {
  return mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
}

/** Ends the servers of test runs that were killed, and removes the folders of runs that are over. */
export async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const stateDir = join(tmpdir(), name);
    // Another user's stack.json must not tell us what to kill, nor is a run at this moment any of ours to end.
    if (statSync(stateDir, { throwIfNoEntry: false })?.uid !== process.getuid?.()) continue;
    if (identify(Number(name.slice(PREFIX.length).split('-')[0])) !== undefined) continue;
    if (await endOrphans(stateDir)) rmSync(stateDir, { recursive: true, force: true });
  }
}
