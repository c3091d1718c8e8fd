import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { Deps } from '../../activities/deps.js';
import type { SliceProgress } from '../../src/domain/receipt.js';

/** An attempt that is made to fail is no news. */
const QUIET = new DefaultLogger('ERROR', () => undefined);

/** One attempt of an activity, run here. */
export interface Attempt<T> {
  readonly result: Promise<T>;
  /** What its heartbeats said, oldest first. */
  readonly said: readonly SliceProgress[];
  /** As Temporal cancels it. */
  cancel(): void;
}

export function attempt<T>(activity: () => Promise<T>, info: { readonly attempt?: number } = {}): Attempt<T> {
  const environment = new MockActivityEnvironment(info, { logger: QUIET });
  const said: SliceProgress[] = [];
  environment.on('heartbeat', (progress: unknown) => {
    if (progress !== undefined && progress !== null) said.push(progress as SliceProgress);
  });
  const result = environment.run(activity) as Promise<T>;
  // The test looks at it later.
  result.catch(() => undefined);
  return { result, said, cancel: () => environment.cancel() };
}

/** A point that an attempt reaches, and where it stands until the test lets it go on: a process that was frozen there. */
export interface Gate {
  readonly reached: Promise<void>;
  open(): void;
}

/** Dependencies whose first question to ClickHouse waits at a gate. */
export function gateClickHouse(deps: Deps): { readonly deps: Deps; readonly gate: Gate } {
  let reach: () => void = () => undefined;
  let open: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  const clickhouse = new Proxy(deps.clickhouse, {
    get(target, name, receiver) {
      if (name !== 'query') return Reflect.get(target, name, receiver) as unknown;
      return async (params: Parameters<typeof target.query>[0]) => {
        reach();
        await opened;
        return target.query(params);
      };
    },
  });
  return { deps: { ...deps, clickhouse }, gate: { reached, open } };
}
