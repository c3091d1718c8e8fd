import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity } from '../../src/settings/process-identity.js';
import { endProcess } from './child.js';
import { choosePorts } from './port.js';
import { startRegistry, type Registry } from './registry.js';

/** What the folder remembers: the address stays, and a process that outlived its `dev` is ended. */
interface Remembered {
  readonly port: number;
  readonly identity: ProcessIdentity;
}

/** The schema registry of a local stack, on the state that its folder has. It is not started again when it dies. */
export async function startDevRegistry(
  stateDir: string,
  { reset }: { readonly reset?: boolean | undefined },
  signal: AbortSignal,
): Promise<Registry> {
  const directory = join(stateDir, 'registry');
  const file = join(directory, 'registry.json');
  const before = readRemembered(file);
  if (before !== undefined && isAlive(before.identity)) await endProcess(before.identity, 'SIGTERM');
  if (reset === true) rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const port = before?.port ?? (await choosePorts({}, {})).kafka;
  const logFile = join(stateDir, 'logs', 'registry.log');
  const registry = await startRegistry({ port, directory, logFile, signal });
  writeFileSync(file, JSON.stringify({ port, identity: registry.identity } satisfies Remembered), { mode: 0o600 });
  return registry;
}

function readRemembered(file: string): Remembered | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Remembered;
  } catch {
    return undefined;
  }
}
