import type { BenchEnvironment } from './environment.js';
import { coreSeconds, spentBetween, type CoreSeconds } from './usage.js';

/** How long something took, and who worked for it. */
export interface Timing {
  readonly seconds: number;
  readonly coreSeconds: CoreSeconds;
  /** Microseconds of the monotonic clock, as in profiles. */
  readonly window: { readonly from: number; readonly to: number };
}

/** Starts now. @param worker the worker's pid, where one takes part; without one this process does what is measured */
export function startClock({ stack }: BenchEnvironment, worker?: number): () => Timing {
  const servers = (['postgres', 'kafka', 'clickhouse', 'temporal'] as const).map((server) => [
    server,
    stack.pid(server),
  ]);
  const look = (): CoreSeconds => ({
    ...(worker === undefined ? { client: ownSeconds() } : coreSeconds({ worker })),
    ...coreSeconds(Object.fromEntries(servers) as Record<string, number | undefined>),
  });
  const before = look();
  const from = micros();
  return () => {
    const to = micros();
    return { seconds: (to - from) / 1e6, coreSeconds: spentBetween(before, look()), window: { from, to } };
  };
}

export async function timed(environment: BenchEnvironment, work: () => Promise<unknown>): Promise<Timing> {
  const stop = startClock(environment);
  await work();
  return stop();
}

/** Its children are the servers: only itself. */
function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function micros(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
