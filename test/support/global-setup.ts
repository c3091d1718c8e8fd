import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TestProject } from 'vitest/node';
import { readStackFile, startStack, type StackAddresses, type StackEvent } from '../../dev/stack/stack.js';
import { Failure } from '../../src/failure/failure.js';
import { newStateDir, sweep } from './state-dir.js';

declare module 'vitest' {
  interface ProvidedContext {
    stack: Partial<StackAddresses>;
  }
}

/**
 * One stack for the whole run, in a folder of its own: never what `.env` names. With PG2CLICK_TEST_STACK, the `stack.json` of a
 * stack that runs already is used instead, and nothing is started or stopped. With PG2CLICK_TEST_SECURE=1 the stack takes
 * connections over TLS only, and Kafka a user too.
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
  const secure = process.env['PG2CLICK_TEST_SECURE'] === '1';
  const stateDir = newStateDir();
  const abort = new AbortController();
  const start = startStack({ stateDir, secure, report: show, signal: abort.signal });
  const stop = async () => {
    await (await start).stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
  // On a terminal Vitest leaves at once and the stack's own exit hook ends the servers; elsewhere a signal would skip that hook.
  const interrupted = () => {
    abort.abort(new Error('interrupted'));
    void stop()
      .catch(() => undefined)
      .finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupted);
  const stack = await start.catch((error: unknown) => {
    throw error instanceof Failure ? new Error([error.message, error.remedy].join(' '), { cause: error }) : error;
  });
  project.provide('stack', stack.addresses);
  return stop;
}

function show(event: StackEvent): void {
  if (event.kind === 'step' || event.kind === 'stopped') return;
  const text = event.kind === 'ready' ? `ready in ${(event.elapsedMs / 1_000).toFixed(1)} s` : event.text;
  console.log(`stack: ${event.server}: ${text}`);
}
