import { readFileSync } from 'node:fs';
import { percentile } from '../src/demo/percentile.js';
import { until } from '../src/demo/until.js';
import { count, NEVER, openBench, type Bench } from './stage.js';

/**
 * First figures: a backlog of keys through Kafka, and commit -> queryable at a low rate.
 *   node dist/bench/first-figures.js [--rows 500000] [--seconds 20] [--format json|packed]
 */
const argument = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : (process.argv[at + 1] ?? fallback);
};
const ROWS = Number(argument('rows', '500000'));
const SECONDS = Number(argument('seconds', '20'));
const FORMAT = argument('format', 'json');
const PER_SECOND = 50;

await using bench = await openBench();
await bench.postgres.query(`create table orders (
  id bigint primary key, customer integer not null, status text not null, total numeric(12,2) not null, paid boolean not null,
  placed timestamptz not null, shipped timestamp, weight double precision, note varchar(80), tracking uuid not null)`);
await bench.cli('add', 'orders', '--format', FORMAT);
const backlog = await measureBacklog(bench);
const latency = await measureLatency(bench);
console.log(JSON.stringify({ rows: ROWS, format: FORMAT, ...backlog, latencyMs: latency }));

async function measureBacklog({ postgres, clickhouse, cli, worker, stack }: Bench): Promise<object> {
  await cli('pause', 'orders');
  const writing = Date.now();
  for (let from = 1; from <= ROWS; from += 10_000) await insert(bench, from, Math.min(ROWS, from + 9_999));
  const size = await postgres.query<{ bytes: string }>('select (avg(pg_column_size(o.*)))::int as bytes from orders o');
  console.error(`${ROWS} rows of ${size.rows[0]?.bytes} bytes written in ${Date.now() - writing} ms`);
  const pids = {
    worker: worker.pid,
    postgres: undefined,
    clickhouse: stack.pid('clickhouse'),
    kafka: stack.pid('kafka'),
  };
  const before = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuSeconds(pid)]));
  const startedAt = Date.now();
  let firstAt = 0;
  await cli('resume', 'orders');
  await until('the backlog', { deadlineMs: 300_000, everyMs: 50, signal: NEVER }, async () => {
    const there = await count(clickhouse, 'select count() as n from orders');
    if (there > 0 && firstAt === 0) firstAt = Date.now();
    return there >= ROWS;
  });
  const seconds = (Date.now() - startedAt) / 1_000;
  const cpu = Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => [name, cpuSeconds(pid) - (before[name] ?? 0)]),
  );
  return {
    backlogSeconds: seconds,
    rowsPerSecond: Math.round(ROWS / seconds),
    rowsPerSecondFromFirstRow: Math.round(ROWS / ((Date.now() - firstAt) / 1_000)),
    coreSeconds: cpu,
    workerPeakMB: peakMegabytes(worker.pid),
  };
}

async function measureLatency(bench: Bench): Promise<object> {
  const committed = new Map<number, number>();
  const latencies: number[] = [];
  const first = ROWS + 1;
  const last = ROWS + PER_SECOND * SECONDS;
  const polling = (async () => {
    let seen = ROWS;
    const end = Date.now() + (SECONDS + 30) * 1_000;
    while (seen < last && Date.now() < end) {
      const highest = await count(bench.clickhouse, `select max(id) as n from orders where id > ${seen}`);
      const now = performance.now();
      for (let id = seen + 1; id <= highest; id += 1) latencies.push(now - (committed.get(id) ?? now));
      seen = Math.max(seen, highest);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const startedAt = performance.now();
  for (let id = first; id <= last; id += 1) {
    const due = startedAt + ((id - first) * 1_000) / PER_SECOND;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    await insert(bench, id, id);
    committed.set(id, performance.now());
  }
  await polling;
  const round = (share: number): number => Math.round((percentile(latencies, share) ?? 0) * 10) / 10;
  return { samples: latencies.length, p50: round(0.5), p90: round(0.9), p99: round(0.99), max: round(1) };
}

async function insert({ postgres }: Bench, from: number, to: number): Promise<void> {
  await postgres.query(
    `insert into orders select i, i % 1000, 'shipped', (i % 100000) / 100.0, i % 2 = 0, now(), now()::timestamp, i / 7.0,
      'a note of about thirty letters', gen_random_uuid() from generate_series($1::bigint, $2::bigint) i`,
    [from, to],
  );
}

/** User and system time of a process, seconds (Linux only; 0 elsewhere). */
function cpuSeconds(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

function peakMegabytes(pid: number | undefined): number {
  try {
    const line = /VmHWM:\s+(\d+) kB/u.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Math.round(Number(line?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}
