import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../src/failure/failure.js';
import type { ProcessIdentity } from '../../src/settings/process-identity.js';
import type { ServerName } from '../../src/settings/server-name.js';
import type { Ports, StackAddresses, StackSecrets } from './server.js';
import { settingsOf } from './stack-settings.js';

/**
 * What a state folder remembers in `stack.json`. Beside this, the file holds `settings`: what somebody would write in `.env` to
 * use the servers, by server. That, `owner` and `children` is what the product reads of it (`src/settings/stack.ts`).
 */
export interface StackFile {
  /** The process that holds the stack, while one does. */
  readonly owner?: ProcessIdentity;
  readonly children: Readonly<Partial<Record<ServerName, ProcessIdentity>>>;
  readonly ports: Partial<Ports>;
  readonly secrets: StackSecrets;
  /** Of the servers that this stack starts itself; those set by the user are not repeated here. */
  readonly addresses: Partial<StackAddresses>;
}

/** @returns the state folder's file, or undefined when there is none. @throws Misconfigured when it is not JSON */
export function readStackFile(stateDir: string): StackFile | undefined {
  const path = join(stateDir, 'stack.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Failure('Misconfigured', { message: `Cannot read ${path}.`, cause: error });
  }
  try {
    return JSON.parse(text) as StackFile;
  } catch (error) {
    throw new Failure('Misconfigured', {
      message: `${path} is not valid JSON.`,
      remedy: `Remove the folder ${stateDir} to start with an empty stack.`,
      cause: error,
    });
  }
}

/**
 * Replaces the file whole, readable by its owner only: it holds passwords. Synchronous, so that nothing of ours happens between
 * the start of a process and its entry here.
 */
export function writeStackFile(stateDir: string, file: StackFile): void {
  const path = join(stateDir, 'stack.json');
  const aside = `${path}.${process.pid}.tmp`;
  const content = { ...file, settings: settingsOf(file.addresses) };
  writeFileSync(aside, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(aside, path);
}

export function newSecrets(): StackSecrets {
  const secret = () => randomBytes(18).toString('base64url');
  return { postgres: secret(), kafka: secret(), clickhouse: secret() };
}
