import { percentile } from '../demo/percentile.js';
import { until } from '../demo/until.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { findTable } from '../../src/ledger/tables.js';
import { startClock, type Timing } from './clock.js';
import { copyCeilings, POSTGRESQL_FUNCTION } from './copy-ceilings.js';
import { count } from './environment.js';
import { LedgerWatch } from './ledger-watch.js';
import { createOrders, fillOrders, rowBytes } from './orders.js';
import type { Report, Run, Scenario } from './scenario.js';
import { percent, type Table } from './table.js';
import { resetPeak, type CoreSeconds } from './usage.js';
import { profileTable, runWorker, type WorkerRun } from './worker-run.js';

const TABLE = 'copied';
/** Of more rows than this one round says enough. */
const ROUNDS_UP_TO = 2_000_000;
const ROUNDS = 3;

/** One way of copying the table, in one round. */
interface Sample {
  readonly name: string;
  readonly rowsPerSecond: number;
  readonly coreSeconds: CoreSeconds;
  readonly workerPeakMB?: number | undefined;
}

interface Copied {
  readonly timing: Timing;
  readonly ceilings: readonly Sample[];
}

export const copy: Scenario = {
  name: 'copy',
  summary: 'add on a filled table of --rows rows, with each number of --readers',
  async run(run) {
    const { environment, options, report } = run;
    const { rows, readers } = options;
    report('filling');
    await createOrders(environment.postgres, TABLE);
    await fillOrders(environment.postgres, TABLE, rows, environment);
    await environment.postgres.query(/* sql */ `vacuum analyze ${TABLE}`);
    const rounds = rows > ROUNDS_UP_TO ? 1 : ROUNDS;
    const samples: Sample[] = [];
    let last: WorkerRun<Copied> | undefined;
    for (let round = 1; round <= rounds; round += 1)
      for (const [index, each] of readers.entries()) {
        report(`round ${round} of ${rounds}, ${shown(each)}`);
        // The ceilings once a round, beside the first of ours.
        last = await copyOnce(run, each, index === 0);
        const { timing, ceilings } = last.result;
        const { coreSeconds } = timing;
        const rowsPerSecond = rows / timing.seconds;
        samples.push({ name: shown(each), rowsPerSecond, coreSeconds, workerPeakMB: last.workerPeakMB }, ...ceilings);
      }
    return composeReport(run, samples, { rounds, bytes: await rowBytes(environment.postgres, TABLE), last });
  },
};

const shown = (readers: number): string => `pg2click add, ${readers} reader${readers === 1 ? '' : 's'}`;

/** By a worker that runs already. */
function copyOnce(run: Run, readers: number, withCeilings: boolean): Promise<WorkerRun<Copied>> {
  const { environment, options } = run;
  const variables = { PG2CLICK_COPY_READERS: String(readers) };
  return runWorker(
    run,
    'all',
    async (pid) => {
      const { timing, table } = await load(run, pid);
      const ceilings = withCeilings ? await copyCeilings(environment, table, options.rows) : [];
      await environment.cli('remove', TABLE, '--drop-target', '--yes');
      return { timing, ceilings };
    },
    { variables, polls: true },
  );
}

/** From the claim of the copy, so with the allocation of its position and its wait for writers, until the ledger says that it is done. */
async function load(
  { environment, options: { rows } }: Run,
  pid: number,
): Promise<{ timing: Timing; table: ReplicatedTable }> {
  let table: ReplicatedTable | undefined;
  resetPeak(pid);
  const added = environment.cli('add', TABLE, '--no-wait');
  await until('The replica', { deadlineMs: 60_000, everyMs: 5, signal: environment.signal }, async () => {
    table = await findTable(environment.postgres, 'default', { schema: 'public', table: TABLE });
    return table !== undefined;
  });
  if (table === undefined) throw new Error('the table was not prepared');
  const watch = new LedgerWatch(environment.postgres, table, environment.signal);
  await watch.until('The copy', 'copy', ({ epoch }) => epoch !== '0', 5);
  const stop = startClock(environment, pid);
  await watch.until('The end of the copy', 'copy', ({ position }) => position.done !== undefined);
  const timing = stop();
  await added;
  const there = await count(environment.clickhouse, /* sql */ `select count() as n from ${TABLE}_current`);
  if (there !== rows) throw new Error(`${there} of ${rows} rows came over`);
  return { timing, table };
}

interface Row extends Sample {
  /** Of the rate, and of all processes together for as many rows. */
  readonly ratioToPostgresqlFunction: number | undefined;
  readonly coreRatioToPostgresqlFunction: number | undefined;
}

function composeReport(
  { options: { rows, readers } }: Run,
  samples: readonly Sample[],
  about: { readonly rounds: number; readonly bytes: number; readonly last: WorkerRun<Copied> | undefined },
): Report {
  const { rounds, bytes, last } = about;
  const medians = [...new Set(samples.map(({ name }) => name))].map((name) =>
    medianOf(samples.filter((sample) => sample.name === name)),
  );
  const reference = medians.find(({ name }) => name === POSTGRESQL_FUNCTION);
  const compared = medians.map((sample): Row => ({
    ...sample,
    ratioToPostgresqlFunction: ratio(sample.rowsPerSecond, reference?.rowsPerSecond),
    coreRatioToPostgresqlFunction: ratio(total(reference?.coreSeconds), total(sample.coreSeconds)),
  }));
  const ours = readers.flatMap((each) => compared.filter(({ name }) => name === shown(each)));
  const best = ours.toSorted((a, b) => b.rowsPerSecond - a.rowsPerSecond)[0];
  return {
    tables: [
      copyTable(rows, bytes, rounds, compared),
      ...(last?.profile === undefined ? [] : [profileTable('the last copy', last.profile)]),
    ],
    result: {
      rows,
      rowBytes: bytes,
      rounds,
      rowsPerSecond: best?.rowsPerSecond,
      ratioToPostgresqlFunction: best?.ratioToPostgresqlFunction,
      coreRatioToPostgresqlFunction: best?.coreRatioToPostgresqlFunction,
      readers: readers.map((each, index) => ({ readers: each, ...ours[index] })),
      ceilings: compared.filter((row) => !ours.includes(row)),
    },
  };
}

function copyTable(rows: number, bytes: number, rounds: number, compared: readonly Row[]): Table {
  const who = ['worker', 'client', 'postgres', 'clickhouse'];
  return {
    title: `copy: ${rows.toLocaleString('en-US')} rows of ${bytes} bytes, median of ${rounds}; core-seconds of the same round`,
    heads: [
      'what',
      'rows/s',
      'of postgresql()',
      'by core-seconds',
      'worker',
      'client',
      'PostgreSQL',
      'ClickHouse',
      'worker peak MB',
    ],
    rows: compared.map((row) => [
      row.name,
      row.rowsPerSecond,
      percent(row.ratioToPostgresqlFunction),
      percent(row.coreRatioToPostgresqlFunction),
      ...who.map((each) => row.coreSeconds[each]),
      row.workerPeakMB,
    ]),
  };
}

/** The round whose rate is the median. */
function medianOf(samples: readonly Sample[]): Sample {
  const rate = percentile(
    samples.map(({ rowsPerSecond }) => rowsPerSecond),
    0.5,
  );
  const median = samples.find(({ rowsPerSecond }) => rowsPerSecond === rate) ?? samples[0];
  if (median === undefined) throw new Error('nothing was measured');
  return { ...median, rowsPerSecond: Math.round(median.rowsPerSecond) };
}

function total(coreSeconds: CoreSeconds = {}): number | undefined {
  const { worker = 0, client = 0, postgres = 0, clickhouse = 0 } = coreSeconds;
  return worker + client + postgres + clickhouse;
}

function ratio(value: number | undefined, of: number | undefined): number | undefined {
  return value === undefined || of === undefined || of === 0 ? undefined : Math.round((value / of) * 1_000) / 1_000;
}
