import { LOADERS } from '../../src/clickhouse/loaders.js';
import { allChoices, routeOf, type RouteChoice } from '../../src/domain/route-choice.js';
import { refusalOf } from '../../src/domain/route-refusal.js';
import { APPEND_ONLY_CAPTURES, inputOf, stagesOf } from '../../src/domain/route.js';
import { CAPTURES } from '../../src/source/captures.js';
import { percentile } from '../demo/percentile.js';
import { until } from '../demo/until.js';
import { startClock, type Timing } from './clock.js';
import { count } from './environment.js';
import { latencyFloor } from './latency-floor.js';
import { LedgerWatch } from './ledger-watch.js';
import { createOrders, drawOrders, replicaOf } from './orders.js';
import { paceOf, writeDrawn } from './paced-writer.js';
import type { Report, Run, Scenario } from './scenario.js';
import { percent } from './table.js';
import { VisibilityWatch } from './visibility.js';
import { wayCeilings, type WayCeilings } from './way-ceilings.js';
import { runWorker } from './worker-run.js';

const RATES = [50, 1_000] as const;
const WARM_UP_SECONDS = 1;
const FILL_ROWS = 10_000;
const TABLE = 'way';
const KINDS = { captures: CAPTURES.kinds, loaders: LOADERS.kinds };

interface WayResult {
  readonly way: string;
  readonly rowsPerSecond: number;
  readonly beside: { readonly name: string; readonly rowsPerSecond: number };
  readonly ratio: number;
  readonly coreSeconds: Timing['coreSeconds'];
  readonly latencies: readonly { readonly rate: number; readonly p50: number; readonly p99: number }[];
  readonly floorMs: number;
}

export const ways: Scenario = {
  name: 'ways',
  summary: 'every way of a row: a backlog, and commit -> queryable at 50 and 1,000 rows/s, each beside its ceiling',
  async run(run) {
    const { environment, options, report } = run;
    const choices = waysOf(options.ways);
    report('the ceilings');
    const ceilings = await wayCeilings(environment, options.rows);
    report('the floor of latency');
    const steps = await latencyFloor(environment);
    const sum = steps.reduce((total, { p50 }) => total + p50, 0);
    const floors = { kafka: sum, direct: steps.at(-1)?.p50 ?? Number.NaN };
    const results: WayResult[] = [];
    for (const [index, choice] of choices.entries()) {
      report(`${index + 1} of ${choices.length}: ${wayName(choice)}`);
      results.push(await measureWay(run, choice, { ceilings, floors, before: results }));
    }
    return composeReport(run, ceilings, results);
  },
};

/** `outbox kafka row json worker` */
export function wayName({ capture, transport, payload, format, loader, engine }: RouteChoice): string {
  const messages = transport === 'kafka' ? [payload, format, loader] : [];
  return [capture, transport, ...messages, ...(engine === 'replacing' ? [] : [engine])].join(' ');
}

/** @param wanted parts of names; all by default */
function waysOf(wanted: readonly string[]): readonly RouteChoice[] {
  const all = allChoices().filter((choice) => refusalOf(routeOf(choice), KINDS) === undefined);
  if (wanted.length === 0) return all;
  return all.filter((choice) => wanted.some((text) => wayName(choice).startsWith(text)));
}

function optionsOf({ capture, transport, payload, format, loader, engine }: RouteChoice): string[] {
  const messages = transport === 'kafka' ? ['--payload', payload, '--format', format, '--loader', loader] : [];
  return ['--capture', capture, '--transport', transport, '--engine', engine, ...messages];
}

interface Beside {
  readonly ceilings: WayCeilings;
  readonly floors: { readonly kafka: number; readonly direct: number };
  /** Ways that were measured already. */
  readonly before: readonly WayResult[];
}

async function measureWay(run: Run, choice: RouteChoice, { ceilings, floors, before }: Beside): Promise<WayResult> {
  const { environment, options } = run;
  const { result } = await runWorker(run, 'all', async (pid) => {
    await createOrders(environment.postgres, TABLE, { draws: true });
    // A log has the old row of each change.
    if (choice.engine === 'log')
      await environment.postgres.query(/* sql */ `alter table ${TABLE} replica identity full`);
    await environment.cli('add', TABLE, ...optionsOf(choice));
    const timing = await backlog(run, choice, pid);
    const latencies = [];
    let last = options.rows;
    for (const rate of RATES) {
      const measured = await latencyAt(run, rate, last);
      last = measured.last;
      latencies.push({ rate, p50: measured.p50, p99: measured.p99 });
    }
    await environment.cli('remove', TABLE, '--drop-target', '--yes');
    return { timing, latencies };
  });
  await environment.postgres.query(/* sql */ `drop table ${TABLE}`);
  const rowsPerSecond = Math.round(options.rows / result.timing.seconds);
  const beside = besideOf(choice, ceilings, before);
  return {
    way: wayName(choice),
    rowsPerSecond,
    beside,
    ratio: rowsPerSecond / beside.rowsPerSecond,
    coreSeconds: result.timing.coreSeconds,
    latencies: result.latencies,
    floorMs: floors[choice.transport],
  };
}

/** What a way is compared with: what it is made of, bare; or the way that it might replace, in the same run. */
function besideOf(choice: RouteChoice, ceilings: WayCeilings, before: readonly WayResult[]): WayResult['beside'] {
  const { capture, transport, payload, loader, format } = choice;
  const isGrowing = APPEND_ONLY_CAPTURES.includes(capture);
  if (transport === 'direct') return isGrowing ? ceilings.copyPipe : ceilings.drainText;
  const rival = before.find(({ way }) => way === wayName({ ...choice, payload: 'row', loader: 'worker' }));
  if (rival !== undefined && (payload === 'key' || loader === 'kafka-engine'))
    return { name: rival.way, rowsPerSecond: rival.rowsPerSecond };
  if (isGrowing) return ceilings.copyPipe;
  return format === 'packed' ? ceilings.drainText : ceilings.drainJson;
}

/** It is paused while it is filled; timed from the first slice's claim until every row can be queried. */
async function backlog({ environment, options }: Run, choice: RouteChoice, pid: number): Promise<Timing> {
  const { postgres, signal, clickhouse } = environment;
  await environment.cli('pause', TABLE);
  for (let rows = 0; rows < options.rows; rows += FILL_ROWS)
    await drawOrders(postgres, TABLE, Math.min(FILL_ROWS, options.rows - rows));
  const watch = new LedgerWatch(postgres, await replicaOf(postgres, TABLE), signal);
  const first = stagesOf(routeOf(choice)).find(({ id }) => inputOf(id) === 'capture')?.id ?? '';
  const before = await watch.look(first);
  const resumed = environment.cli('resume', TABLE);
  await watch.claimed(before);
  const stop = startClock(environment, pid);
  await watch.until('The backlog', first, async () => {
    return (await count(clickhouse, /* sql */ `select count() as n from ${TABLE}`)) >= options.rows;
  });
  const timing = stop();
  await resumed;
  const there = await count(clickhouse, /* sql */ `select uniqExact(id) as n from ${TABLE}`);
  if (there !== options.rows) throw new Error(`${there} of ${options.rows} rows came over by ${wayName(choice)}`);
  return timing;
}

async function latencyAt(
  { environment, options }: Run,
  rate: number,
  low: number,
): Promise<{ readonly last: number; readonly p50: number; readonly p99: number }> {
  await using visibility = await VisibilityWatch.open(environment.clickhouse, TABLE, low);
  const since = performance.now() + WARM_UP_SECONDS * 1_000;
  const seconds = options.seconds + WARM_UP_SECONDS;
  const last = await writeDrawn(environment, TABLE, paceOf(rate), { seconds, onCommit: visibility.committed });
  const limits = { deadlineMs: 60_000, everyMs: 50, signal: environment.signal };
  await until('The last row', limits, () => visibility.saw(last));
  const latencies = visibility.latencies(since);
  const at = (share: number): number => Math.round((percentile(latencies, share) ?? Number.NaN) * 10) / 10;
  return { last, p50: at(0.5), p99: at(0.99) };
}

function composeReport({ options }: Run, ceilings: WayCeilings, results: readonly WayResult[]): Report {
  const heads = ['way', 'rows/s', 'beside', 'its rows/s', 'ratio'];
  const rates = RATES.flatMap((rate) => [`p50 ms at ${rate}/s`, 'p99 ms']);
  return {
    tables: [
      {
        title: `ways: ${options.rows.toLocaleString('en-US')} rows that waited, then ${options.seconds} s of each rate`,
        heads: [...heads, ...rates, 'floor ms', 'p50 of floor at 50/s'],
        rows: results.map(({ way, rowsPerSecond, beside, ratio, latencies, floorMs }) => [
          way,
          rowsPerSecond,
          beside.name,
          beside.rowsPerSecond,
          percent(ratio),
          ...latencies.flatMap(({ p50, p99 }) => [p50, p99]),
          Math.round(floorMs * 10) / 10,
          percent((latencies[0]?.p50 ?? Number.NaN) / floorMs),
        ]),
      },
    ],
    result: { rows: options.rows, seconds: options.seconds, ceilings, ways: results },
  };
}
