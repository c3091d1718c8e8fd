import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Looks until the condition holds.
 * @throws Error naming what was waited for after the deadline; the signal's reason when aborted; what the condition throws
 */
export async function until(
  what: string,
  options: { readonly deadlineMs: number; readonly everyMs: number; readonly signal: AbortSignal },
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + options.deadlineMs;
  while (!(await condition())) {
    options.signal.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${options.deadlineMs / 1_000} s.`);
    await sleep(options.everyMs, undefined, { signal: options.signal });
  }
}
