import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { startTable } from '../../src/control/start-table.js';
import { summarise } from '../demo/percentile.js';
import { until } from '../demo/until.js';
import { packageRoot } from '../../src/package-root.js';
import { startClock, type Timing } from './clock.js';
import { describeMachine, machineLine } from './machine.js';
import { createOrders, insertOrders } from './orders.js';
import { VisibilityWatch } from './visibility.js';
import { countSockets } from './sockets.js';
import { openWithWorker, type EnvironmentWithWorker } from './environment.js';

/**
 * Many tables on one worker, most of them idle: what they cost, and what that does to those that are busy.
 *   node dist/dev/bench/many-tables.js [--tables 200] [--busy 20] [--rate 20] [--seconds 30]
 * One JSON object on standard output, progress on standard error.
 */
interface Options {
  readonly tables: number;
  readonly busy: number;
  readonly rate: number;
  readonly seconds: number;
}

const SCHEMA = 'public';
/** After the first loads: merges, caches and the first slices. */
const CALM_MS = 15_000;
/** Of the busy tables, whose rows are waited for; each takes a connection and a query an insert. */
const PROBES = 3;
/** Statements at a time while tables are made and written. */
const WRITERS = 8;

const options = new Command('many-tables')
  .option('--tables <n>', 'tables of one worker', Number, 200)
  .option('--busy <n>', 'of them, how many are written to', Number, 20)
  .option('--rate <n>', 'rows a second for each of those, one a commit', Number, 20)
  .option('--seconds <n>', 'how long each state is looked at', Number, 30)
  .parse()
  .opts<Options>();
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error('interrupted')));
const loadBefore = loadavg()[0] ?? 0;
await using bench = await openWithWorker({
  stateDir: join(packageRoot, '.pg2click', 'bench-many'),
  signal: stop.signal,
});
const pid = bench.worker.pid ?? 0;
const machine = await describeMachine(bench, loadBefore);
say(machineLine(machine));
const empty = await lookAt(bench, 'a worker without tables', async () => calm(5_000));
const addingSeconds = await addTables(bench, options.tables);
say(`${options.tables} tables added and copied in ${addingSeconds} s`);
await calm(CALM_MS);
const idle = await lookAt(bench, 'all idle', async () => calm(options.seconds * 1_000));
let latencyMs: unknown;
const busy = await lookAt(bench, `${options.busy} busy`, async () => {
  latencyMs = await keepBusy(bench, options);
});
process.stdout.write(`${JSON.stringify({ ...options, machine, addingSeconds, empty, idle, busy, latencyMs })}\n`);

async function addTables(
  { postgres, temporal, connect, queues }: EnvironmentWithWorker,
  tables: number,
): Promise<number> {
  const startedAt = performance.now();
  await inTurns(tables, WRITERS, async (writer) => {
    const pg = await connect(`maker ${writer}`);
    return { work: (table) => createOrders(pg, nameOf(table)), end: () => pg.end() };
  });
  await inTurns(tables, WRITERS, () =>
    Promise.resolve({
      work: async (table) => {
        const taskQueue = queues.workflow;
        await startTable(temporal.client, { pipeline: 'default', schema: SCHEMA, table: nameOf(table), taskQueue });
      },
      end: () => Promise.resolve(),
    }),
  );
  await until('The first loads', { deadlineMs: 1_200_000, everyMs: 1_000, signal: bench.signal }, async () => {
    const found = await postgres.query<{ done: number }>(
      /* sql */ `select count(*)::int as done from pg2click.stage where stage = 'copy' and batch > 0`,
    );
    return found.rows[0]?.done === tables;
  });
  return Math.round((performance.now() - startedAt) / 1_000);
}

/** Single-row commits, spread evenly over the tables and the time. */
async function keepBusy(
  { clickhouse, connect, signal }: EnvironmentWithWorker,
  { busy, rate, seconds }: Options,
): Promise<unknown> {
  const probes: VisibilityWatch[] = [];
  for (let table = 0; table < Math.min(PROBES, busy); table += 1)
    probes.push(await VisibilityWatch.open(clickhouse, nameOf(table), 0));
  const rows = rate * seconds;
  const startedAt = performance.now();
  await inTurns(busy * rows, WRITERS, async (writer) => {
    const pg = await connect(`writer ${writer}`);
    return {
      work: async (commit) => {
        const early = startedAt + (commit * 1_000) / (busy * rate) - performance.now();
        if (early > 1) await sleep(early, undefined, { signal });
        const [table, id] = [commit % busy, Math.floor(commit / busy) + 1];
        await insertOrders(pg, nameOf(table), id, id);
        probes[table]?.committed(id, id, performance.now());
      },
      end: () => pg.end(),
    };
  });
  await until('The last rows', { deadlineMs: 120_000, everyMs: 50, signal }, () =>
    probes.every((probe) => probe.saw(rows)),
  );
  const latencies = probes.flatMap((probe) => probe.latencies(startedAt + 1_000));
  for (const probe of probes) await probe[Symbol.asyncDispose]();
  return summarise(latencies);
}

/** One of those that work at the same time, each on a connection of its own. */
interface Writer {
  work(turn: number): Promise<unknown>;
  end(): Promise<unknown>;
}

async function inTurns(turns: number, writers: number, open: (writer: number) => Promise<Writer>): Promise<void> {
  let next = 0;
  const run = async (index: number): Promise<void> => {
    const writer = await open(index);
    for (let turn = next++; turn < turns; turn = next++) await writer.work(turn);
    await writer.end();
  };
  await Promise.all(Array.from({ length: writers }, (_, index) => run(index)));
}

interface Look {
  /** Of one core, by process. */
  readonly corePercent: Timing['coreSeconds'];
  readonly workerMB: number;
  /** By `application_name`. */
  readonly postgresConnections: Readonly<Record<string, number>>;
  readonly kafkaSockets: number;
}

async function lookAt(bench: EnvironmentWithWorker, title: string, work: () => Promise<unknown>): Promise<Look> {
  const stop = startClock(bench, pid);
  await work();
  const { seconds, coreSeconds } = stop();
  const sessions = await bench.postgres.query<{
    name: string;
    count: number;
  }>(/* sql */ `select application_name as name, count(*)::int as count from pg_stat_activity
      where application_name like 'pg2click %' and application_name not like '%bench%' group by 1 order by 1`);
  const broker = Number(bench.stack.addresses.kafka.bootstrap.split(':').at(-1));
  const look: Look = {
    corePercent: Object.fromEntries(
      Object.entries(coreSeconds).map(([name, spent]) => [name, Math.round((spent / seconds) * 1_000) / 10]),
    ),
    workerMB: Math.round(Number(/VmRSS:\s+(\d+)/u.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024),
    postgresConnections: Object.fromEntries(sessions.rows.map(({ name, count }) => [name, count])),
    kafkaSockets: countSockets(pid, broker),
  };
  say(`${title}: ${JSON.stringify(look)}`);
  return look;
}

function calm(ms: number): Promise<void> {
  return sleep(ms, undefined, { signal: stop.signal });
}

function nameOf(table: number): string {
  return `many_${table}`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
