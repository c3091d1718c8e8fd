import { availableParallelism } from 'node:os';
import { loaderNamed, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { requireKafka } from '../../src/domain/route.js';
import type { BacklogMessages } from './options.js';
import { highest, lowest, shareCores, type Ceiling } from './ceiling.js';
import { startClock, type Timing } from './clock.js';
import { drainCeiling, tableCopyCeiling } from './drain-ceiling.js';
import { insertCeilings } from './insert-ceilings.js';
import { LedgerWatch } from './ledger-watch.js';
import { byKeyCeiling } from './by-key-ceiling.js';
import { createOrders, fillOrders, replicaOf, rowBytes } from './orders.js';
import type { Report, Run, Scenario } from './scenario.js';
import { profileTable, runWorker, type WorkerRun } from './worker-run.js';
import { count } from './environment.js';
import { percent, type Table } from './table.js';
import { publisherCeiling, readerCeiling, sampleChanges } from './transport-ceilings.js';
import { consumeCeiling, produceCeiling, readTopic, Sampler } from './topic-ceilings.js';

const STEPS = ['publish', 'load', 'both'] as const;
type Step = (typeof STEPS)[number];

/** One way through the backlog. */
interface Passage {
  readonly timing: Timing;
  readonly batches: number;
}

interface Measured {
  readonly rowsPerSecond: number;
  readonly seconds: number;
  readonly ceiling: { readonly name: string; readonly rowsPerSecond: number };
  readonly ratio: number;
  readonly coreSeconds: Timing['coreSeconds'];
  readonly workerPeakMB: number | undefined;
  readonly rowsPerBatch: number;
}

interface MessagesResult {
  readonly steps: Readonly<Record<Step, Measured>>;
  readonly ceilings: readonly Ceiling[];
  readonly profiles: readonly Table[];
}

export const backlog: Scenario = {
  name: 'backlog',
  summary: 'rows that waited: publish alone, load alone, both at once, as json, packed and keys',
  async run(run) {
    const results: [string, MessagesResult][] = [];
    for (const messages of run.options.messages) results.push([messages.name, await measureMessages(run, messages)]);
    const [first] = run.options.messages;
    if (first === undefined) throw new Error('keys alone are not packed: nothing is left to measure');
    const bytes = await rowBytes(run.environment.postgres, tableOf(first, 'alone'));
    return report(run, bytes, results);
  },
};

const tableOf = ({ name }: BacklogMessages, step: 'alone' | 'both'): string => `backlog_${name}_${step}`;
const optionsOf = ({ format, payload }: BacklogMessages): readonly string[] => [
  '--format',
  format,
  '--payload',
  payload,
];

async function measureMessages(run: Run, messages: BacklogMessages): Promise<MessagesResult> {
  const { environment, report, options } = run;
  const { rows } = options;
  const { name } = messages;
  const isKeyed = messages.payload === 'key';
  const alone = tableOf(messages, 'alone');
  report(`${name}: both at once`);
  const both = await runWorker(run, 'all', async (pid) => {
    const passage = await bothAtOnce(run, messages, pid);
    await createOrders(environment.postgres, alone);
    await environment.cli('add', alone, ...optionsOf(messages));
    return passage;
  });

  // With no worker the triggers go on collecting.
  report(`${name}: filling`);
  await fillOrders(environment.postgres, alone, rows, environment);
  const table = await replicaOf(environment.postgres, alone);
  report(`${name}: reading to nowhere`);
  const drain = await drainCeiling(environment, table, rows);
  const copy = await tableCopyCeiling(environment, alone, rows);
  const sample = await sampleChanges(environment, table);
  report(`${name}: publish alone`);
  const publish = await runWorker(run, 'producer', (pid) => publishAlone(run, table, pid));
  report(`${name}: load alone`);
  const load = await runWorker(run, 'consumer', (pid) => loadAlone(run, table, pid));
  await requireAll(run, alone);

  report(`${name}: Kafka alone`);
  const consume = [
    await consumeCeiling(environment, requireKafka(table.route).topic, rows),
    await readerCeiling(environment, table, rows),
  ];
  const sampler = new Sampler();
  await readTopic(environment, requireKafka(table.route).topic, sampler.add);
  const produce = [
    await produceCeiling(environment, requireKafka(table.route).topic, sampler.finish(), rows),
    await publisherCeiling(environment, table, sample, rows),
  ];
  report(`${name}: ClickHouse alone`);
  const inserts = await insertCeilings(environment, table, rows, rows / load.result.batches);
  const [insert] = inserts;
  await runWorker(run, 'all', async () => {
    await environment.cli('remove', alone, '--drop-target', '--yes');
    return {};
  });

  const byKey = isKeyed ? await byKeyCeiling(environment, table, rows) : undefined;
  const into = [drain, highest(produce)].filter((link) => link !== undefined);
  const out = [highest(consume), byKey, insert].filter((link) => link !== undefined);
  const links = [...into, ...out];
  const cores = shareCores('all four on these cores', links, rows, availableParallelism());
  const step = (workerRun: WorkerRun<Passage>, of: readonly Ceiling[]): Measured => measured(workerRun, of, rows);
  return {
    steps: {
      publish: step(publish, into),
      load: step(load, out),
      both: step(both, [...links, cores]),
    },
    ceilings: [copy, drain, ...produce, ...consume, ...(byKey === undefined ? [] : [byKey]), ...inserts, cores],
    profiles: Object.entries({ publish, load, both }).flatMap(([step, { profile }]) =>
      profile === undefined ? [] : [profileTable(`${messages.name}, ${step}`, profile)],
    ),
  };
}

/** The table is paused while it is filled; timed from the first slice's claim until every row can be queried. */
async function bothAtOnce({ environment, options }: Run, messages: BacklogMessages, pid: number): Promise<Passage> {
  const table = tableOf(messages, 'both');
  await createOrders(environment.postgres, table);
  await environment.cli('add', table, ...optionsOf(messages));
  await environment.cli('pause', table);
  await fillOrders(environment.postgres, table, options.rows, environment);
  const watch = new LedgerWatch(environment.postgres, await replicaOf(environment.postgres, table), environment.signal);
  const before = await watch.look('publish');
  const loadBefore = await watch.look('load:main');
  const resumed = environment.cli('resume', table);
  await watch.claimed(before);
  const stop = startClock(environment, pid);
  await watch.until('The backlog', 'load:main', () => isQueryable(environment, table, options.rows));
  const timing = stop();
  await resumed;
  await requireAll({ environment, options }, table);
  const { batch } = await watch.look('load:main');
  await environment.cli('remove', table, '--drop-target', '--yes');
  return { timing, batches: batch - loadBefore.batch };
}

/** The worker has not begun yet. Until the ledger has confirmed that all of it is in Kafka. */
async function publishAlone({ environment, options }: Run, table: ReplicatedTable, pid: number): Promise<Passage> {
  const watch = new LedgerWatch(environment.postgres, table, environment.signal);
  const before = await watch.look('publish');
  await watch.claimed(before);
  const stop = startClock(environment, pid);
  const published = Number(before.rows) + options.rows;
  await watch.until('Publishing', 'publish', ({ rows }) => Number(rows) >= published);
  return { timing: stop(), batches: (await watch.look('publish')).batch - before.batch };
}

async function loadAlone({ environment, options }: Run, table: ReplicatedTable, pid: number): Promise<Passage> {
  const watch = new LedgerWatch(environment.postgres, table, environment.signal);
  const before = await watch.look('load:main');
  await watch.claimed(before);
  const stop = startClock(environment, pid);
  await watch.until('Loading', 'load:main', () =>
    isQueryable(environment, loaderNamed(table).target.table, options.rows),
  );
  const timing = stop();
  // The last batch is confirmed a moment after its rows can be queried.
  await watch.until('The last confirmation', 'load:main', ({ rows }) => Number(rows) >= options.rows);
  return { timing, batches: (await watch.look('load:main')).batch - before.batch };
}

/** Counted from the parts' own headers: nothing is read. A row that was sent twice would count twice: see `requireAll`. */
async function isQueryable({ clickhouse }: Run['environment'], table: string, rows: number): Promise<boolean> {
  return (await count(clickhouse, /* sql */ `select count() as n from ${table}`)) >= rows;
}

/** @throws Error unless every row is there once: a fast figure of a wrong result is worth nothing */
async function requireAll(
  { environment, options }: Pick<Run, 'environment' | 'options'>,
  table: string,
): Promise<void> {
  const there = await count(environment.clickhouse, /* sql */ `select uniqExact(id) as n from ${table}_current`);
  if (there !== options.rows) throw new Error(`${there} of ${options.rows} rows of ${table} came over`);
}

function measured({ result, workerPeakMB }: WorkerRun<Passage>, ceilings: readonly Ceiling[], rows: number): Measured {
  const { timing, batches } = result;
  const rowsPerSecond = Math.round(rows / timing.seconds);
  const { name = '', rowsPerSecond: most = Number.NaN } = lowest(ceilings) ?? {};
  return {
    rowsPerSecond,
    seconds: Math.round(timing.seconds * 100) / 100,
    ceiling: { name, rowsPerSecond: most },
    ratio: Math.round((rowsPerSecond / most) * 1_000) / 1_000,
    coreSeconds: timing.coreSeconds,
    workerPeakMB,
    rowsPerBatch: Math.round(rows / Math.max(1, batches)),
  };
}

function report({ options }: Run, bytes: number, results: readonly [string, MessagesResult][]): Report {
  const { rows } = options;
  const cores = (spent: Timing['coreSeconds']): (number | undefined)[] =>
    ['worker', 'client', 'postgres', 'kafka', 'clickhouse', 'temporal'].map((who) => spent[who]);
  const figures: Table = {
    title: `backlog: ${rows.toLocaleString('en-US')} rows of ${bytes} bytes, 10 columns, 1 partition`,
    heads: ['messages', 'step', 'rows/s', 'of ceiling', 'ceiling rows/s', 'ceiling', 'worker peak MB', 'rows/batch'],
    rows: results.flatMap(([messages, { steps }]) =>
      STEPS.map((step) => {
        const { rowsPerSecond, ratio, ceiling, workerPeakMB, rowsPerBatch } = steps[step];
        return [
          messages,
          step,
          rowsPerSecond,
          percent(ratio),
          ceiling.rowsPerSecond,
          ceiling.name,
          workerPeakMB,
          rowsPerBatch,
        ];
      }),
    ),
  };
  const work: Table = {
    title: `core-seconds per ${rows.toLocaleString('en-US')} rows, by process; what has no worker is a bare ceiling`,
    heads: ['messages', 'what', 'rows/s', 'worker', 'client', 'PostgreSQL', 'Kafka', 'ClickHouse', 'Temporal'],
    rows: results.flatMap(([messages, { steps, ceilings }]) => [
      ...STEPS.map((step) => [messages, step, steps[step].rowsPerSecond, ...cores(steps[step].coreSeconds)]),
      ...ceilings.map(({ name, rowsPerSecond, coreSeconds }) => [messages, name, rowsPerSecond, ...cores(coreSeconds)]),
    ]),
  };
  const result = Object.fromEntries(
    results.map(([messages, { steps, ceilings }]) => [messages, { ...steps, ceilings }]),
  );
  return {
    tables: [figures, work, ...results.flatMap(([, { profiles }]) => profiles)],
    result: { rows, rowBytes: bytes, repetitions: 1, ...result },
  };
}
