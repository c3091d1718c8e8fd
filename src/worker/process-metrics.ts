import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { Meters } from '../observe/meters.js';

const EVERY_MS = 15_000;
/** The histogram samples so often; what it calls a delay includes the sample's own period. */
const RESOLUTION_MS = 20;

/** Reports what this process takes, and how quick its event loop is, until the signal is aborted. */
export async function reportProcessUntil(meters: Meters, signal: AbortSignal): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  while (!signal.aborted) {
    const { user, system } = process.cpuUsage();
    meters.set('pg2click_worker_cpu_seconds', (user + system) / 1e6, {});
    meters.set('pg2click_worker_memory_bytes', process.memoryUsage.rss(), {});
    const blocked = Math.max(0, delay.max / 1e6 - RESOLUTION_MS);
    meters.set('pg2click_worker_event_loop_delay_seconds', blocked / 1_000, {});
    delay.reset();
    await pause(EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  delay.disable();
}
