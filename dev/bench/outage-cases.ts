import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchEnvironment } from './environment.js';
import type { ServerName } from '../../src/settings/server-name.js';

export interface OutageCase {
  readonly title: string;
  /** The moment that the seconds are counted from, as the end of a sentence. */
  readonly back: string;
  /** Workers that run. */
  readonly workers: number;
  /**
   * Makes the trouble, and ends it.
   * `mark` is called once, with the moment that the seconds are counted from.
   */
  run(trouble: Trouble): Promise<void>;
}

export interface Trouble {
  readonly environment: BenchEnvironment;
  readonly workers: readonly ChildProcess[];
  /** The pid of the worker that loads the table now. */
  readonly loader: () => Promise<number>;
  /** Says in the timeline what happened. */
  readonly note: (text: string) => void;
  /** What is in ClickHouse when it is called does not count as flowing again. @param at `performance.now()` */
  readonly mark: (at: number) => Promise<void>;
}

const SECOND = 1_000;
const LANDING_MS = 3 * SECOND;

export const CASES = {
  clickhouse: killed('clickhouse', 'ClickHouse', 60 * SECOND),
  kafka: killed('kafka', 'Kafka', 30 * SECOND),
  postgres: {
    title: 'PostgreSQL is stopped at once, as by a crash, and started again',
    back: 'PostgreSQL answers again',
    workers: 1,
    run: (trouble) => away(trouble, 'postgres', 'PostgreSQL', 'SIGQUIT', 0),
  },
  temporal: killed('temporal', 'Temporal', 20 * SECOND),
  zombie: {
    title: 'the one of two workers that loads is frozen for 40 s, then thawed',
    back: 'it froze',
    workers: 2,
    async run({ environment, loader, note, mark }) {
      const pid = await loader();
      process.kill(pid, 'SIGSTOP');
      const frozenAt = performance.now();
      note(`worker ${pid} frozen`);
      // What was on its way arrives; nobody can have missed a heartbeat yet.
      await sleep(LANDING_MS, undefined, { signal: environment.signal });
      await mark(frozenAt);
      await sleep(40 * SECOND - LANDING_MS, undefined, { signal: environment.signal });
      process.kill(pid, 'SIGCONT');
      note(`worker ${pid} thawed`);
    },
  },
} as const satisfies Readonly<Record<string, OutageCase>>;

export type CaseName = keyof typeof CASES;

function killed(server: ServerName, title: string, awayMs: number): OutageCase {
  return {
    title: `${title} is killed, and away for ${awayMs / SECOND} s`,
    back: `${title} answers again`,
    workers: 1,
    run: (trouble) => away(trouble, server, title, 'SIGKILL', awayMs),
  };
}

async function away(
  { environment, note, mark }: Trouble,
  server: ServerName,
  title: string,
  signal: NodeJS.Signals,
  awayMs: number,
): Promise<void> {
  await environment.stack.kill(server, signal);
  note(`${title} gone`);
  await sleep(awayMs, undefined, { signal: environment.signal });
  note(`${title} started`);
  await environment.stack.start(server);
  await mark(performance.now());
  note(`${title} answers`);
}
