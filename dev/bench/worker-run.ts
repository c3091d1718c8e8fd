import { join } from 'node:path';
import type { WorkerRole } from '../../src/worker/start.js';
import type { Timing } from './clock.js';
import { readProfile, topSelfTime, type SelfTime } from './profile.js';
import type { Run } from './scenario.js';
import { stopWorker } from './environment.js';
import { percent, type Table } from './table.js';
import { peakMegabytes } from './usage.js';

const PROFILE_LINES = 15;

export interface WorkerRun<T> {
  readonly result: T;
  readonly workerPeakMB: number | undefined;
  /** With `--profile`: where the worker's main thread spent the timed part. */
  readonly profile?: readonly SelfTime[];
}

export interface WorkerRunOptions {
  readonly mayDie?: boolean;
  readonly variables?: Readonly<Record<string, string>>;
  readonly polls?: boolean;
}

/**
 * What is done while one worker process is there: it is started, and stopped in order afterwards.
 * @param body called as soon as there is a process, before it does anything
 * @param options `mayDie`: its end before that of `body` is not an error; `variables`: of its environment; `polls`: `body` is called once it
 * takes work
 */
export async function runWorker<T extends object>(
  { environment, options }: Run,
  role: WorkerRole,
  body: (pid: number) => Promise<T & { readonly timing?: Timing }>,
  { mayDie = false, variables = {}, polls = false }: WorkerRunOptions = {},
): Promise<WorkerRun<T>> {
  const profileDir = options.profile ? join(options.stateDir, 'profiles') : undefined;
  const worker = await environment.startWorker({ role, profileDir, variables, atOnce: !polls });
  const pid = worker.pid ?? 0;
  const died = new Promise<never>((_resolve, reject) => {
    worker.once('exit', (code, signal) => reject(new Error(`the worker ended by itself (${signal ?? code})`)));
  });
  died.catch(() => undefined);
  let result: T & { readonly timing?: Timing };
  let workerPeakMB: number | undefined;
  try {
    const working = body(pid);
    result = await (mayDie ? working : Promise.race([working, died]));
    workerPeakMB = peakMegabytes(pid);
  } finally {
    await stopWorker(worker);
  }
  const profile = profileDir === undefined ? undefined : readProfile(profileDir, pid);
  if (profile === undefined || result.timing === undefined) return { result, workerPeakMB };
  return { result, workerPeakMB, profile: topSelfTime(profile, PROFILE_LINES, result.timing.window) };
}

export function profileTable(title: string, profile: readonly SelfTime[]): Table {
  return {
    title: `self time of the worker's main thread: ${title}`,
    heads: ['share', 'ms', 'function'],
    rows: profile.map(({ name, milliseconds, share }) => [percent(share), milliseconds, name]),
  };
}
