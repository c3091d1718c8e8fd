import { setTimeout as sleep } from 'node:timers/promises';

/** Something that goes wrong, or is done to it, while the writer writes. */
export interface Fault {
  /** When, as a share of the live phase. */
  readonly at: number;
  /** What it waits for beyond its time. */
  ready?(): Promise<void>;
  /** What people read when it happens. */
  readonly title: string;
  run(): Promise<void>;
}

/**
 * Lets the faults happen one after the other, each not before its time.
 * @param onFault called before each, with the seconds since the start
 * @throws the signal's reason when aborted
 */
export async function runFaults(
  faults: readonly Fault[],
  options: {
    readonly startedAt: number;
    readonly seconds: number;
    readonly signal: AbortSignal;
    readonly onFault: (fault: Fault, seconds: number) => void;
  },
): Promise<void> {
  for (const fault of faults.toSorted((a, b) => a.at - b.at)) {
    const due = options.startedAt + fault.at * options.seconds * 1_000;
    await sleep(Math.max(0, due - Date.now()), undefined, { signal: options.signal });
    await fault.ready?.();
    options.onFault(fault, (Date.now() - options.startedAt) / 1_000);
    await fault.run();
  }
}
