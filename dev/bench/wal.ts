import { setTimeout as sleep } from 'node:timers/promises';
import type { RouteChoice } from '../../src/domain/route-choice.js';
import { readDeployment } from '../../src/source/deployment.js';
import { outboxTable } from '../../src/source/outbox/names.js';
import { slotNameOf } from '../../src/source/wal/names.js';
import { until } from '../demo/until.js';
import { makeSlot, readSlot } from './bare-decoding.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { startClock, timed, type Timing } from './clock.js';
import { count, type BenchEnvironment } from './environment.js';
import { createOrders, fillOrders, replicaOf } from './orders.js';
import type { Report, Run, Scenario } from './scenario.js';
import { percent, type Table } from './table.js';
import { profileTable, runWorker, type WorkerRun } from './worker-run.js';

const BARE = 'wal_bare';
const EVERY_MS = 5;

type Way = Pick<RouteChoice, 'transport' | 'format'> & { readonly name: string };
const WAYS: readonly Way[] = [
  { name: 'direct', transport: 'direct', format: 'json' },
  { name: 'kafka json', transport: 'kafka', format: 'json' },
  { name: 'kafka packed', transport: 'kafka', format: 'packed' },
];

interface Measured {
  readonly way: string;
  readonly rowsPerSecond: number;
  readonly ratio: number;
  readonly coreSeconds: Timing['coreSeconds'];
  readonly workerPeakMB: number | undefined;
  /** Share of the rows that went by key, through the outbox. */
  readonly byKey: number;
}

export const wal: Scenario = {
  name: 'wal',
  summary: 'rows that waited in the WAL: directly and through Kafka, beside a reader of the slot that counts only',
  async run(run) {
    const { environment, options, report } = run;
    report('a reader that counts');
    const bare = await bareDecoding(environment, options.rows);
    const measured: Measured[] = [];
    const profiles: Table[] = [];
    for (const way of WAYS) {
      report(way.name);
      const { measure, profile } = await measureWay(run, way, bare);
      measured.push(measure);
      if (profile !== undefined) profiles.push(profileTable(way.name, profile));
    }
    return composeReport(run, bare, measured, profiles);
  },
};

async function bareDecoding(environment: BenchEnvironment, rows: number): Promise<Ceiling> {
  const { postgres } = environment;
  await createOrders(postgres, BARE);
  const drop = await makeSlot(environment, BARE);
  await fillOrders(postgres, BARE, rows, environment);
  const timing = await timed(environment, async () => {
    await using reader = await readSlot(environment, BARE);
    await reader.inserted(rows);
  });
  await drop();
  await postgres.query(/* sql */ `drop table ${BARE}`);
  return ceilingOf('bare decoding', rows, timing);
}

interface WayRun {
  readonly measure: Measured;
  readonly profile: WorkerRun<object>['profile'];
}

async function measureWay(run: Run, way: Way, bare: Ceiling): Promise<WayRun> {
  const { environment, options } = run;
  const { postgres, clickhouse, settings } = environment;
  const { rows } = options;
  const table = `wal_${way.name.replace(' ', '_')}`;
  const format = way.transport === 'kafka' ? ['--format', way.format] : [];
  await createOrders(postgres, table);
  await runWorker(run, 'all', async () => {
    await environment.cli('add', table, '--capture', 'wal', '--transport', way.transport, ...format);
    return {};
  });
  // Nobody reads the slot meanwhile.
  await fillOrders(postgres, table, rows, environment);
  const slot = slotNameOf(await readDeployment(postgres, settings.pipeline));
  const before = await keysWritten(postgres, table);
  const { result, workerPeakMB, profile } = await runWorker(run, 'all', async (pid) => {
    await isRead(environment, slot);
    const stop = startClock(environment, pid);
    await until('The backlog', { deadlineMs: 600_000, everyMs: 20, signal: environment.signal }, async () => {
      return (await count(clickhouse, /* sql */ `select count() as n from ${table}`)) >= rows;
    });
    const timing = stop();
    return { timing };
  });
  const there = await count(clickhouse, /* sql */ `select uniqExact(id) as n from ${table}`);
  if (there !== rows) throw new Error(`${there} of ${rows} rows came over by ${way.name}`);
  const keys = (await keysWritten(postgres, table)) - before;
  await runWorker(run, 'all', async () => {
    await environment.cli('remove', table, '--drop-target', '--yes');
    return {};
  });
  await postgres.query(/* sql */ `drop table ${table}`);
  const rowsPerSecond = Math.round(rows / result.timing.seconds);
  const measure: Measured = {
    way: way.name,
    rowsPerSecond,
    ratio: rowsPerSecond / bare.rowsPerSecond,
    coreSeconds: result.timing.coreSeconds,
    workerPeakMB,
    byKey: keys / rows,
  };
  return { measure, profile };
}

/** Resolves when a worker has the slot: how long Node takes to start is not measured. */
async function isRead({ postgres, signal }: BenchEnvironment, slot: string): Promise<void> {
  for (;;) {
    const found = await postgres.query(/* sql */ `select from pg_replication_slots where slot_name = $1 and active`, [
      slot,
    ]);
    if (found.rowCount === 1) return;
    await sleep(EVERY_MS, undefined, { signal });
  }
}

/** Through the outbox so far. */
async function keysWritten(postgres: BenchEnvironment['postgres'], table: string): Promise<number> {
  const { id } = await replicaOf(postgres, table);
  await postgres.query(/* sql */ `select pg_stat_force_next_flush(), pg_sleep(0.1)`);
  const found = await postgres.query<{ keys: string }>(
    /* sql */ `select pg_stat_get_tuples_inserted($1::regclass)::text as keys`,
    [outboxTable(id)],
  );
  return Number(found.rows[0]?.keys ?? 0);
}

function composeReport({ options }: Run, bare: Ceiling, ways: readonly Measured[], profiles: readonly Table[]): Report {
  const perMillion = (seconds: Timing['coreSeconds'], who: string): number =>
    Math.round(((seconds[who] ?? 0) / options.rows) * 1e7) / 10;
  const who = ['worker', 'client', 'postgres', 'kafka', 'clickhouse'];
  const cells = (coreSeconds: Timing['coreSeconds']): number[] => who.map((name) => perMillion(coreSeconds, name));
  return {
    tables: [
      {
        title: `wal: ${options.rows.toLocaleString('en-US')} rows that waited in the WAL, in transactions of many rows`,
        heads: ['way', 'rows/s', 'of bare decoding', ...who.map((name) => `${name} core-s/1M`), 'peak MB', 'by key'],
        rows: [
          [bare.name, bare.rowsPerSecond, undefined, ...cells(bare.coreSeconds), undefined, undefined],
          ...ways.map(({ way, rowsPerSecond, ratio, coreSeconds, workerPeakMB, byKey }) => [
            way,
            rowsPerSecond,
            percent(ratio),
            ...cells(coreSeconds),
            workerPeakMB,
            percent(byKey),
          ]),
        ],
      },
      ...profiles,
    ],
    result: { rows: options.rows, bare, ways },
  };
}
