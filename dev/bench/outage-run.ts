import { setTimeout as sleep } from 'node:timers/promises';
import { compareTable } from '../compare/compare.js';
import { until } from '../demo/until.js';
import { Commits } from './commits.js';
import { createOrders, replicaOf } from './orders.js';
import type { OutageCase } from './outage-cases.js';
import { stopWorker, type BenchEnvironment } from './environment.js';
import { startTimeline, type Sample } from './timeline.js';

const SECOND = 1_000;
const BEFORE_MS = 10 * SECOND;
/** After it has caught up. */
const AFTER_MS = 10 * SECOND;
const DEADLINE_MS = 180 * SECOND;
const LOOK_MS = 50;
const ON_TIME_SECONDS = 1;

export interface OutageResult {
  readonly flowsAfterSeconds: number;
  readonly caughtUpAfterSeconds: number;
  readonly rows: number;
  readonly equal: number;
  readonly missing: number;
  readonly extra: number;
  readonly changed: number;
  /** A sample a second. */
  readonly samples: readonly Sample[];
}

export interface OutageRun {
  readonly name: string;
  readonly outage: OutageCase;
  readonly rowsPerSecond: number;
  readonly say: (line: string) => void;
}

/** One case from its workers' start to the comparison of both sides; the table is removed afterwards. */
export async function measureOutage(
  environment: BenchEnvironment,
  { name, outage, rowsPerSecond, say }: OutageRun,
): Promise<OutageResult> {
  const { signal } = environment;
  const table = `orders_${name}`;
  const workers = await Promise.all(Array.from({ length: outage.workers }, () => environment.startWorker()));
  try {
    await using setUp = await environment.connect('set up');
    await createOrders(setUp, table);
    await environment.cli('add', table);
    const replica = await replicaOf(setUp, table);
    await setUp[Symbol.asyncDispose]();
    const commits = new Commits(environment, table, rowsPerSecond);
    const timeline = startTimeline(environment, { table: replica, commits, say });
    const wait = (what: string, condition: () => boolean): Promise<void> =>
      until(what, { deadlineMs: DEADLINE_MS, everyMs: LOOK_MS, signal }, condition);
    await wait('The first row', () => timeline.visible > 0);
    await sleep(BEFORE_MS, undefined, { signal });

    let markedAt = 0;
    let markedVisible = 0;
    const trouble = outage.run({
      environment,
      workers,
      loader: () => timeline.loader(),
      note: (text) => timeline.note(text),
      mark: async (at) => {
        // What was inserted as the server went away, and not seen, is there when it comes back: no flow yet.
        await timeline.look();
        markedVisible = timeline.visible;
        markedAt = at;
      },
    });
    // It is awaited below; one that fails before must not end this process with its servers running.
    trouble.catch(() => undefined);
    await wait('The end of the outage', () => markedAt > 0);
    await wait('Rows to flow', () => timeline.visible > markedVisible);
    const flowsAfterSeconds = (performance.now() - markedAt) / SECOND;
    await wait('The backlog to be gone', () => timeline.lagSeconds < ON_TIME_SECONDS);
    const caughtUpAfterSeconds = (performance.now() - markedAt) / SECOND;
    timeline.note('on time again');
    await trouble;
    await sleep(AFTER_MS, undefined, { signal });
    await commits.stop();
    await wait('The last row', () => timeline.visible >= commits.last);
    const samples = await timeline.stop();
    return { flowsAfterSeconds, caughtUpAfterSeconds, ...(await compareSides(environment, table)), samples };
  } finally {
    await environment.cli('remove', table).catch(() => undefined);
    for (const worker of workers) await stopWorker(worker);
  }
}

/** Until equal: updates and deletes of the last second may be on their way. */
async function compareSides(environment: BenchEnvironment, table: string) {
  const view = { database: environment.settings.clickhouse.database, table: `${table}_current` };
  const deadline = Date.now() + 30 * SECOND;
  for (;;) {
    await using postgres = await environment.connect('compare');
    const compared = await compareTable({
      postgres,
      clickhouse: environment.clickhouse,
      table: { schema: 'public', table },
      view,
    });
    const { source: rows, equal, missing, extra, changed } = compared;
    if (missing + extra + changed === 0 || Date.now() > deadline) return { rows, equal, missing, extra, changed };
    await sleep(500, undefined, { signal: environment.signal });
  }
}
