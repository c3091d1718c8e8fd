import { setTimeout as sleep } from 'node:timers/promises';
import { countWorkers, missingQueues, type Workers } from '../control/workers.js';
import type { StageSpec } from '../domain/route.js';
import type { Servers } from './servers.js';

/** A worker polls 2 to 4 s after its start. */
const STARTING_MS = 5_000;
const POLL_EVERY_MS = 250;

/** The queues that nobody polls. A worker that was started just before is waited for. */
export async function missingWorkers(
  { temporal, queues }: Servers,
  { counted, stages }: { readonly counted: Workers; readonly stages: readonly StageSpec[] },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const deadline = Date.now() + STARTING_MS;
  for (let workers = counted; ; workers = await countWorkers(temporal.client, queues)) {
    const missing = missingQueues(workers, stages);
    if (missing.length === 0 || Date.now() > deadline) return missing;
    await sleep(POLL_EVERY_MS, undefined, { signal });
  }
}
