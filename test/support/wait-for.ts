import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface WaitOptions {
  /** How long at most, in milliseconds. */
  readonly deadlineMs: number;
  /** What is waited for, for the message: "the tombstone in ClickHouse". */
  readonly what: string;
  /** Between two looks, in milliseconds; 25 by default. */
  readonly everyMs?: number;
}

/**
 * Looks until the condition gives something truthy, and returns that. A look that throws counts as not yet.
 * @param condition may hand what it saw to `see`; else its result is what was seen
 * @throws after the deadline, naming what was waited for and what was seen last
 */
export async function waitFor<T>(
  condition: (see: (seen: unknown) => void) => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const deadline = Date.now() + options.deadlineMs;
  for (;;) {
    let seen: unknown;
    let shown = false;
    const see = (value: unknown) => {
      seen = value;
      shown = true;
    };
    try {
      const result = await condition(see);
      if (result) return result as Exclude<T, false | 0 | '' | null | undefined>;
      if (!shown) seen = result;
    } catch (error) {
      seen = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(
        `Waited ${options.deadlineMs} ms for ${options.what}; last seen: ${inspect(seen, { depth: 4 })}`,
        {
          cause: seen,
        },
      );
    }
    await sleep(options.everyMs ?? 25);
  }
}
