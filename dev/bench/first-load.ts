import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { percentile } from '../demo/percentile.js';
import { until } from '../demo/until.js';
import { loaderNamed, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { findTable } from '../../src/ledger/tables.js';
import { copyInsertSettings } from '../../src/clickhouse/insert-settings.js';
import { copyRows, copySql } from '../../src/source/copy/copy-rows.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { startClock, timed, type Timing } from './clock.js';
import { copyToNowhere } from './drain-ceiling.js';
import { LedgerWatch } from './ledger-watch.js';
import { createOrders, fillOrders, rowBytes } from './orders.js';
import type { Report, Run, Scenario } from './scenario.js';
import { profileTable, runWorker, type WorkerRun } from './worker-run.js';
import { count, type BenchEnvironment } from './environment.js';
import { percent } from './table.js';

const TABLE = 'first_load';
const ROUNDS = 3;
/** Any position does for a copy that goes nowhere. */
const POSITION = '1';

interface Loads {
  readonly loads: readonly Timing[];
  /** By round. */
  readonly ceilings: readonly (readonly Ceiling[])[];
  /** Of the last load. */
  readonly timing?: Timing;
}

export const firstLoad: Scenario = {
  name: 'first-load',
  summary: 'add on a filled table, twice as many rows as the backlog has',
  async run(run) {
    const { environment, options, report } = run;
    const rows = 2 * options.rows;
    report('filling');
    await createOrders(environment.postgres, TABLE);
    await fillOrders(environment.postgres, TABLE, rows, environment);
    await environment.postgres.query(/* sql */ `vacuum analyze ${TABLE}`);
    const workerRun = await runWorker(run, 'all', async (pid) => {
      const loads: Timing[] = [];
      const ceilings: (readonly Ceiling[])[] = [];
      for (let round = 1; round <= ROUNDS; round += 1) {
        report(`round ${round} of ${ROUNDS}`);
        const { timing, table } = await load(run, pid, rows);
        loads.push(timing);
        ceilings.push(await measureCeilings(environment, table, rows, options.stateDir));
        await environment.cli('remove', TABLE, '--drop-target', '--yes');
      }
      const last = loads.at(-1);
      const measured: Loads = { loads, ceilings, ...(last === undefined ? {} : { timing: last }) };
      return measured;
    });
    return composeReport(workerRun, rows, await rowBytes(environment.postgres, TABLE));
  },
};

/** From the claim of the copy, so with the allocation of its position and its wait for writers, until the ledger says that it is done. */
async function load(
  { environment }: Run,
  pid: number,
  rows: number,
): Promise<{ timing: Timing; table: ReplicatedTable }> {
  let table: ReplicatedTable | undefined;
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

async function measureCeilings(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
  stateDir: string,
): Promise<readonly Ceiling[]> {
  await using pg = await environment.connect('copy ceilings');
  const read = await timed(environment, () => copyToNowhere(pg, copySql(table, POSITION)));
  const file = join(stateDir, 'first-load.tsv');
  try {
    await pipeline(copyRows(pg, table, POSITION, environment), createWriteStream(file));
    const insert = await intoBareTable(environment, table, rows, () =>
      createReadStream(file, { highWaterMark: 256 * 1024 }),
    );
    const pipe = await intoBareTable(environment, table, rows, () => copyRows(pg, table, POSITION, environment));
    return [
      ceilingOf('COPY to nowhere', rows, read),
      ceilingOf('TSV file to ClickHouse', rows, insert),
      ceilingOf('COPY piped to ClickHouse', rows, pipe),
    ];
  } finally {
    await rm(file, { force: true });
  }
}

async function intoBareTable(
  environment: BenchEnvironment,
  table: ReplicatedTable,
  rows: number,
  open: () => Readable,
): Promise<Timing> {
  const { clickhouse } = environment;
  const bare = `${TABLE}_bare`;
  const { target } = loaderNamed(table);
  const source = `${target.database}.${target.table}`;
  await clickhouse.command({ query: /* sql */ `create table ${bare} as ${source}` });
  try {
    const settings = await copyInsertSettings(clickhouse);
    const timing = await timed(environment, async () => {
      const query = /* sql */ `insert into ${bare} format TabSeparated`;
      const { stream } = await clickhouse.exec({
        query,
        values: open(),
        clickhouse_settings: settings,
        abort_signal: environment.signal,
      });
      stream.resume();
    });
    const there = await count(clickhouse, /* sql */ `select count() as n from ${bare}`);
    if (there !== rows) throw new Error(`${there} of ${rows} rows came into ${bare}`);
    return timing;
  } finally {
    await clickhouse.command({ query: /* sql */ `drop table ${bare} sync` });
  }
}

function composeReport({ result, workerPeakMB, profile }: WorkerRun<Loads>, rows: number, bytes: number): Report {
  const rate = medianOf(result.loads.map(({ seconds }) => rows / seconds));
  const names = result.ceilings[0]?.map(({ name }) => name) ?? [];
  const ceilings = names.map((name, index) => ({
    name,
    rowsPerSecond: medianOf(result.ceilings.map((round) => round[index]?.rowsPerSecond ?? Number.NaN)),
    coreSeconds: result.ceilings.at(-1)?.[index]?.coreSeconds ?? {},
  }));
  const pipe = ceilings.at(-1)?.rowsPerSecond ?? Number.NaN;
  const spent = result.timing?.coreSeconds ?? {};
  const cores = (seconds: Timing['coreSeconds']): (number | undefined)[] =>
    ['worker', 'client', 'postgres', 'clickhouse'].map((who) => seconds[who]);
  return {
    tables: [
      {
        title: `first load: ${rows.toLocaleString('en-US')} rows of ${bytes} bytes, median of ${ROUNDS}; core-seconds of the last`,
        heads: ['what', 'rows/s', 'ours is', 'worker', 'client', 'PostgreSQL', 'ClickHouse', 'worker peak MB'],
        rows: [
          ['pg2click add', rate, undefined, ...cores(spent), workerPeakMB],
          ...ceilings.map(({ name, rowsPerSecond, coreSeconds }) => [
            name,
            rowsPerSecond,
            percent(rate / rowsPerSecond),
            ...cores(coreSeconds),
          ]),
        ],
      },
      ...(profile === undefined ? [] : [profileTable('the last first load', profile)]),
    ],
    result: {
      rows,
      rowBytes: bytes,
      repetitions: ROUNDS,
      rowsPerSecond: rate,
      ceiling: { name: names.at(-1), rowsPerSecond: pipe },
      ratio: Math.round((rate / pipe) * 1_000) / 1_000,
      coreSeconds: spent,
      workerPeakMB,
      ceilings,
    },
  };
}

function medianOf(values: readonly number[]): number {
  return Math.round(percentile(values, 0.5) ?? Number.NaN);
}
