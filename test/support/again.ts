import { Failure } from '../../src/failure/failure.js';
import { policyOf } from '../../src/failure/kinds.js';
import type { Followed } from './path.js';
import { waitFor } from './wait-for.js';

const DEADLINE_MS = 30_000;

/** As Temporal does: connections to a server that is gone fail once, and a lock may not be free for a minute. */
export async function again<T>(work: () => Promise<T>, deadlineMs = DEADLINE_MS): Promise<T> {
  for (const giveUpAt = Date.now() + deadlineMs; ;)
    try {
      return await work();
    } catch (error) {
      const isTransient = error instanceof Failure && policyOf(error.kind).treatment === 'transient';
      if (!isTransient || Date.now() > giveUpAt) throw error;
    }
}

/** Publishes until nothing waits. */
export async function publishAll(followed: Followed): Promise<void> {
  await waitFor(async () => (await again(() => followed.publish())).waiting === 0, {
    deadlineMs: DEADLINE_MS,
    what: 'all to be published',
  });
}
