import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestProject } from 'vitest/node';
import {
  endOrphans,
  readStackFile,
  startStack,
  type StackAddresses,
  type StackEvent,
} from '../../src/embedded/stack.js';
import { Failure } from '../../src/failure/failure.js';

const PREFIX = 'pg2click-test-';

declare module 'vitest' {
  interface ProvidedContext {
    stack: Partial<StackAddresses>;
  }
}

/**
 * One stack for the whole run, in a folder of its own: never what `.env` names. With PG2CLICK_TEST_STACK, the `stack.json` of a
 * stack that runs already is used instead, and nothing is started or stopped.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const shared = process.env['PG2CLICK_TEST_STACK'];
  if (shared !== undefined && shared !== '') {
    const file = readStackFile(dirname(shared));
    if (file === undefined) throw new Error(`PG2CLICK_TEST_STACK names ${shared}, which does not exist.`);
    project.provide('stack', file.addresses);
    return undefined;
  }
  await sweep();
  const stateDir = mkdtempSync(join(tmpdir(), PREFIX));
  const abort = new AbortController();
  // Vitest ends its own process on an interrupt; the servers must not outlive it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort());
  const stack = await startStack({ stateDir, report: show, signal: abort.signal }).catch((error: unknown) => {
    throw error instanceof Failure ? new Error([error.message, error.remedy].join(' '), { cause: error }) : error;
  });
  project.provide('stack', stack.addresses);
  return async () => {
    await stack.stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
}

/** Ends the servers of test runs that were killed, and removes their folders. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const stateDir = join(tmpdir(), name);
    // Another user's stack.json must not tell us what to kill.
    if (!name.startsWith(PREFIX) || statSync(stateDir, { throwIfNoEntry: false })?.uid !== process.getuid?.()) continue;
    if (await endOrphans(stateDir)) rmSync(stateDir, { recursive: true, force: true });
  }
}

function show(event: StackEvent): void {
  if (event.kind === 'step' || event.kind === 'stopped') return;
  const text = event.kind === 'ready' ? `ready in ${(event.elapsedMs / 1_000).toFixed(1)} s` : event.text;
  console.log(`stack: ${event.part}: ${text}`);
}
