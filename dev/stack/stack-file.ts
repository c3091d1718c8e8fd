import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../src/failure/failure.js';
import type { ProcessIdentity } from './child.js';
import type { Part, Ports, StackAddresses, StackSecrets } from './part.js';

/** What a state folder remembers in `stack.json`: other commands read `addresses`, the next start reads the rest. */
export interface StackFile {
  /** The process that holds the stack, while one does. */
  readonly owner?: ProcessIdentity;
  readonly children: Readonly<Partial<Record<Part, ProcessIdentity>>>;
  readonly ports: Partial<Ports>;
  readonly secrets: StackSecrets;
  /** Of the parts that this stack starts itself; those set by the user are not repeated here. */
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
  writeFileSync(aside, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  renameSync(aside, path);
}

export function newSecrets(): StackSecrets {
  const secret = () => randomBytes(18).toString('base64url');
  return { postgres: secret(), kafka: secret(), clickhouse: secret() };
}
