import { percentile } from '../demo/percentile.js';
import { until } from '../demo/until.js';
import { startClock, type Timing } from './clock.js';
import { latencyFloor, type FloorStep } from './latency-floor.js';
import { createOrders } from './orders.js';
import { paceOf, writePaced, type Pace } from './paced-writer.js';
import type { Report, Run, Scenario } from './scenario.js';
import { profileTable, runWorker } from './worker-run.js';
import { VisibilityWatch } from './visibility.js';
import { percent } from './table.js';

const RATES = [50, 1_000, 5_000];
/** Of each rate: the slices wake up, and batches find their size. */
const WARM_UP_SECONDS = 1;
const TABLE = 'latency';

interface RateResult {
  readonly rowsPerSecond: number;
  readonly written: number;
  readonly pace: Pace;
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly looks: number;
  readonly coreSeconds: Timing['coreSeconds'];
}

export const latency: Scenario = {
  name: 'latency',
  summary: `commit -> queryable at ${RATES.map((rate) => rate.toLocaleString('en-US')).join(', ')} rows/s`,
  async run(run) {
    const { environment, report } = run;
    report('the floor');
    const floor = await latencyFloor(environment);
    const workerRun = await runWorker(run, 'all', async (pid) => {
      await createOrders(environment.postgres, TABLE);
      await environment.cli('add', TABLE);
      const stop = startClock(environment, pid);
      const rates: RateResult[] = [];
      let from = 1;
      for (const rate of RATES) {
        report(`${rate} rows/s`);
        const { last, ...result } = await measureRate(run, rate, from, pid);
        rates.push(result);
        from = last + 1;
      }
      const timing = stop();
      await environment.cli('remove', TABLE, '--drop-target', '--yes');
      return { rates, timing };
    });
    const profiles = workerRun.profile === undefined ? [] : [profileTable('latency, all rates', workerRun.profile)];
    const { tables, result } = composeReport(run, floor, workerRun.result.rates);
    return { tables: [...tables, ...profiles], result };
  },
};

async function measureRate(
  { environment, options }: Run,
  rate: number,
  from: number,
  pid: number,
): Promise<RateResult & { readonly last: number }> {
  await using visibility = await VisibilityWatch.open(environment.clickhouse, TABLE, from - 1);
  const pace = paceOf(rate);
  const stop = startClock(environment, pid);
  const since = performance.now() + WARM_UP_SECONDS * 1_000;
  const seconds = options.seconds + WARM_UP_SECONDS;
  const written = await writePaced(environment, TABLE, pace, { from, seconds, onCommit: visibility.committed });
  const limits = { deadlineMs: 60_000, everyMs: 50, signal: environment.signal };
  await until('The last row', limits, () => visibility.saw(written.last));
  const { coreSeconds } = stop();
  const latencies = visibility.latencies(since);
  const at = (share: number): number => Math.round((percentile(latencies, share) ?? Number.NaN) * 10) / 10;
  return {
    last: written.last,
    rowsPerSecond: rate,
    written: written.rowsPerSecond,
    pace,
    samples: latencies.length,
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    max: at(1),
    looks: visibility.looks,
    coreSeconds,
  };
}

function composeReport({ options }: Run, floor: readonly FloorStep[], rates: readonly RateResult[]): Report {
  const floorMs = Math.round(floor.reduce((sum, { p50 }) => sum + p50, 0) * 10) / 10;
  return {
    tables: [
      {
        title: `latency: milliseconds from commit to queryable, ${options.seconds} s of each rate, after 1 s of warm-up`,
        heads: ['rows/s', 'written/s', 'rows', 'p50', 'p90', 'p99', 'max', 'floor', 'floor of p50', 'as'],
        rows: rates.map(({ rowsPerSecond, written, samples, p50, p90, p99, max, pace }) => [
          rowsPerSecond,
          written,
          samples,
          p50,
          p90,
          p99,
          max,
          floorMs,
          percent(floorMs / p50),
          `commits of ${pace.rowsPerCommit}, ${pace.connections} connections`,
        ]),
      },
      {
        title: 'floor: milliseconds of one row in each step, bare, 100 times',
        heads: ['step', 'p50', 'p99'],
        rows: [...floor.map(({ name, p50, p99 }) => [name, p50, p99]), ['sum', floorMs]],
      },
      {
        title: `core-seconds of ${options.seconds + WARM_UP_SECONDS} s`,
        heads: ['rows/s', 'worker', 'PostgreSQL', 'Kafka', 'ClickHouse', 'Temporal', 'queries of the observer'],
        rows: rates.map(({ rowsPerSecond, coreSeconds: spent, looks }) => [
          rowsPerSecond,
          ...['worker', 'postgres', 'kafka', 'clickhouse', 'temporal'].map((who) => spent[who]),
          looks,
        ]),
      },
    ],
    result: { seconds: options.seconds, floor: { steps: floor, p50: floorMs }, rates },
  };
}
