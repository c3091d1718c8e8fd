import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { endOrphans, startStack, type Stack, type StackEvent, type StackOptions } from '../../dev/stack/stack.js';
import { newStateDir } from './state-dir.js';
import type { ServerName } from '../../src/settings/server-name.js';

/** A state folder of this test's own; what still runs on it when the test ends is ended, and the folder removed. */
export function ownStateDir(): string {
  const stateDir = newStateDir();
  onTestFinished(async () => {
    await endOrphans(stateDir);
    rmSync(stateDir, { recursive: true, force: true });
  });
  return stateDir;
}

/** A stack of this test's own, stopped when the test ends; its events are kept in `events`. */
export async function ownStack(
  stateDir: string,
  servers: readonly ServerName[],
  options: Partial<StackOptions> = {},
): Promise<{ readonly stack: Stack; readonly events: readonly StackEvent[] }> {
  const events: StackEvent[] = [];
  const stack = await startStack({ stateDir, servers, report: (event) => events.push(event), ...options });
  onTestFinished(() => stack.stop());
  return { stack, events };
}

/** Live processes whose command line names this folder: all that was started on it, however it came to be orphaned. */
export function processesOf(stateDir: string): readonly string[] {
  return execFileSync('ps', ['-A', '-ww', '-o', 'pid=,stat=,args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(stateDir) && !/^\s*\d+\s+Z/.test(line));
}
