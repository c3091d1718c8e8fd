import { setTimeout as sleep } from 'node:timers/promises';
import { describeTable } from '../../src/control/describe-table.js';
import { workflowIdOf } from '../../src/domain/table-name.js';
import { createOrders, fillOrders } from './orders.js';
import type { Report, Run, Scenario } from './scenario.js';
import { runWorker } from './worker-run.js';
import { count } from './environment.js';
import { peakMegabytes, resetPeak } from './usage.js';
import { identify } from '../../src/settings/process-identity.js';

const DEADLINE_MS = 180_000;
const LOOK_MS = 100;
/** Just below what one message may have by default: 1 MB with its header. */
const WIDE_BYTES = 1_000_000;
const HUGE_BYTES = 100_000_000;
/** Of `md5`, as text. */
const DIGEST_BYTES = 32;

interface Case {
  readonly name: string;
  readonly table: string;
  readonly rows: number;
  readonly fill: (run: Run, table: string, rows: number) => Promise<void>;
}

interface CaseResult {
  readonly name: string;
  readonly rows: number;
  /** `moved`, `parked: <kind>`, `the worker died`, `not done after 180 s`. */
  readonly outcome: string;
  readonly seconds: number;
  /** Of the idle worker, before the backlog. */
  readonly idleMB: number | undefined;
  readonly peakMB: number | undefined;
}

export const memory: Scenario = {
  name: 'memory',
  summary: "the worker's peak with a backlog of small rows, of rows of 1 MB, and of rows of 100 MB",
  async run(run) {
    const { rows } = run.options;
    const cases: readonly Case[] = [
      { name: 'small rows', table: 'memory_small', rows, fill: fillSmall },
      {
        name: 'rows of 1 MB',
        table: 'memory_wide',
        rows: Math.min(300, Math.ceil(rows / 1_000)),
        fill: fillWide(WIDE_BYTES),
      },
      { name: 'rows of 100 MB', table: 'memory_huge', rows: 3, fill: fillWide(HUGE_BYTES) },
    ];
    const results: CaseResult[] = [];
    for (const each of cases) results.push(await measureCase(run, each));
    return report(results);
  },
};

/** The backlog is written while the table is paused, and then let loose on a fresh worker that plays both roles. */
async function measureCase(run: Run, { name, table, rows, fill }: Case): Promise<CaseResult> {
  const { environment, report } = run;
  report(name);
  const measured = await runWorker(
    run,
    'all',
    async (pid) => {
      await fill(run, table, 0);
      await environment.cli('add', table);
      await environment.cli('pause', table);
      await fill(run, table, rows);
      const idleMB = peakMegabytes(pid);
      resetPeak(pid);
      const startedAt = Date.now();
      const resumed = environment.cli('resume', table);
      const outcome = await outcomeOf(run, table, rows, pid);
      const seconds = Math.round((Date.now() - startedAt) / 100) / 10;
      const peakMB = peakMegabytes(pid);
      if (outcome === DIED) {
        // Its next worker would meet the same end.
        await resumed.catch(() => undefined);
        await environment.temporal.client.workflow
          .getHandle(workflowIdOf('default', { schema: 'public', table }))
          .terminate();
      } else {
        await resumed;
        await environment.cli('remove', table, '--drop-target', '--yes');
      }
      return { outcome, seconds, idleMB, peakMB };
    },
    { mayDie: true },
  );
  await environment.postgres.query(/* sql */ `drop table ${table}`);
  return { name, rows, ...measured.result };
}

const DIED = 'the worker died';

async function outcomeOf({ environment }: Run, table: string, rows: number, pid: number): Promise<string> {
  const id = workflowIdOf('default', { schema: 'public', table });
  const deadline = Date.now() + DEADLINE_MS;
  while (Date.now() < deadline) {
    if (identify(pid) === undefined) return DIED;
    if ((await count(environment.clickhouse, /* sql */ `select count() as n from ${table}`)) >= rows) return 'moved';
    const described = await describeTable(environment.temporal.client, id);
    if (described?.phase === 'parked') return `parked: ${described.failureKind ?? 'unknown'}`;
    await sleep(LOOK_MS, undefined, { signal: environment.signal });
  }
  return `not done after ${DEADLINE_MS / 1_000} s`;
}

async function fillSmall({ environment }: Run, table: string, rows: number): Promise<void> {
  if (rows === 0) return createOrders(environment.postgres, table);
  await fillOrders(environment.postgres, table, rows, environment);
}

function fillWide(bytes: number): Case['fill'] {
  return async ({ environment }, table, rows) => {
    if (rows === 0) {
      await environment.postgres.query(/* sql */ `create table ${table} (id bigint primary key, body text not null)`);
      return;
    }
    const text = /* sql */ `insert into ${table} select i, repeat(md5(i::text), $2::int) from generate_series(1, $1::int) i`;
    await environment.postgres.query(text, [rows, bytes / DIGEST_BYTES]);
  };
}

function report(results: readonly CaseResult[]): Report {
  return {
    tables: [
      {
        title: "memory: the worker's peak while it moves a backlog",
        heads: ['backlog', 'rows', 'outcome', 's', 'peak MB', 'peak MB before'],
        rows: results.map(({ name, rows, outcome, seconds, peakMB, idleMB }) => [
          name,
          rows,
          outcome,
          seconds,
          peakMB,
          idleMB,
        ]),
      },
    ],
    result: { cases: results },
  };
}
