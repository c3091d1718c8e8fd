import { setTimeout as sleep } from 'node:timers/promises';
import { sendCommand } from '../../src/control/send-command.js';
import { quoteCh } from '../../src/domain/identifier.js';
import type { Fixtures, DemoContext } from './context.js';
import { PIPELINE } from './environment.js';
import { runFaults, type Fault } from './faults.js';
import { FLIGHTS } from './flights.js';
import { expectNoPark } from './parked.js';
import { isQuiet } from './gauges.js';
import { liveDisplay } from './live-block.js';
import { NOTES } from './notes.js';
import { isAppendOnly } from './route.js';
import { APPEND_KINDS, TRANSACTION_KINDS } from './transactions.js';
import { startProbe, type Probe, type ProbeSample } from './probe.js';
import { until } from './until.js';
import { startWriter, type Writer, type WriterTotals } from './writer.js';

const CONNECTIONS = 3;
/** Brisk for two cores that run four servers too: a transaction changes about nine rows. */
const TRANSACTIONS_PER_SECOND = 90;
const PROBE_EVERY_MS = 50;
/** Tells the rows of the probe from all others. */
const PROBE_DISTANCE = -1;
const OUTAGE_MS = 5_000;
const PAUSE_MS = 3_000;
/** A worker starts in 2 to 4 s and takes over; where its lock does not tell, Temporal misses a heartbeat after 10 s. */
const FLOWS_AGAIN_MS = 20_000;
/** After the last fault it is written to for so long, whatever the faults took. */
const WRITE_ON_MS = 1_500;
const QUIET_DEADLINE_MS = 120_000;
const LOOK_EVERY_MS = 200;

export interface LivePhase {
  readonly live: { readonly totals: WriterTotals; readonly seconds: number };
  readonly faults: readonly { readonly at: number; readonly what: string }[];
  readonly quietAfterSeconds: number;
  readonly samples: readonly ProbeSample[];
  readonly calmUntil: number;
}

/** Third: it is written to and broken at the same time, and comes to rest. */
export async function runLive(context: DemoContext, fixtures: Fixtures): Promise<LivePhase> {
  const { screen, seconds, signal } = context;
  const { display } = fixtures;
  const probe = await openProbe(context, fixtures);
  const writer = openWriter(context, fixtures);
  Object.assign(display, { probe, writer });
  const startedAt = Date.now();
  const clock = (): number => Math.floor((Date.now() - startedAt) / 1_000);
  display.clock = () => `${clock()} s of ${seconds}`;
  const faults: { at: number; what: string }[] = [];
  let calmUntil = Number.POSITIVE_INFINITY;
  let live = { totals: writer.totals, seconds: 0 };
  let quietAfterSeconds = 0;

  screen.say('');
  screen.say(`  ${screen.paint.bold(`${seconds} s of writing, while things break`)}`);
  await screen.show(liveDisplay(display), async () => {
    const broken = runFaults(faultsOf(fixtures, probe, context), {
      startedAt,
      seconds,
      signal,
      onFault: (fault, at) => {
        calmUntil = Math.min(calmUntil, performance.now());
        faults.push({ at: Math.round(at * 10) / 10, what: fault.title });
        screen.say(
          `  ${screen.paint.yellow('⚡')} ${screen.paint.dim(`${at.toFixed(1).padStart(5)} s`)}  ${fault.title}`,
        );
      },
    });
    // A writer that cannot go on ends the phase at once.
    const end = sleep(seconds * 1_000, undefined, { signal });
    const after = broken.then(() => sleep(WRITE_ON_MS, undefined, { signal }));
    await Promise.race([Promise.all([end, after]), failureOf(writer)]);
    await writer.stop();
    probe.pauseWrites();
    const stoppedAt = Date.now();
    live = { totals: { ...writer.totals }, seconds: (stoppedAt - startedAt) / 1_000 };
    display.clock = () => `the writer is done; ${((Date.now() - stoppedAt) / 1_000).toFixed(0)} s until quiet`;
    await waitForQuiet(context, fixtures, probe);
    quietAfterSeconds = (Date.now() - stoppedAt) / 1_000;
    display.clock = () => `quiet after ${quietAfterSeconds.toFixed(1)} s`;
  });
  await probe.stop();
  return { live, faults, quietAfterSeconds, samples: probe.samples, calmUntil };
}

async function openProbe({ cleanup, route }: DemoContext, { environment, tables }: Fixtures): Promise<Probe> {
  const appendOnly = isAppendOnly(route);
  const view = tables.find((table) => table.name === FLIGHTS)?.view;
  const probe = startProbe({
    postgres: await environment.connect('probe'),
    clickhouse: environment.clickhouse,
    insert: appendOnly
      ? /* sql */ `insert into flights (delay, distance, time) values (0, ${PROBE_DISTANCE}, 0) returning id`
      : /* sql */ `insert into flights (id, delay, distance, time) values ($1, 0, ${PROBE_DISTANCE}, 0)`,
    draws: appendOnly,
    // A row that has one version only is in the view as soon as it is in the table. Asking the view merges parts each time:
    // that took a quarter of a core, and made what it measures slower.
    select: /* sql */ `
      select id from ${quoteCh(view?.database ?? '')}.${quoteCh(FLIGHTS.table)}
      where id between {first: Int64} and {last: Int64} and distance = ${PROBE_DISTANCE}${route.engine === 'merge-tree' ? '' : ' and _deleted = 0'}`,
    everyMs: PROBE_EVERY_MS,
  });
  cleanup.defer(() => probe.stop());
  return probe;
}

function openWriter({ cleanup, route }: DemoContext, { environment, sizes }: Fixtures): Writer {
  const writer = startWriter({
    connect: () => environment.connect('writer'),
    connections: CONNECTIONS,
    seed: 1,
    flights: sizes.flights,
    notes: sizes.notes,
    rate: TRANSACTIONS_PER_SECOND,
    kinds: isAppendOnly(route) ? APPEND_KINDS : TRANSACTION_KINDS,
  });
  cleanup.defer(() => writer.stop());
  return writer;
}

/** Never resolves; rejects with what the writer ended of. */
function failureOf(writer: Writer): Promise<never> {
  return writer.ended.then(() => new Promise<never>(() => undefined));
}

function faultsOf(fixtures: Fixtures, probe: Probe, { signal, route }: DemoContext): readonly Fault[] {
  const { environment, worker, display } = fixtures;
  const paused = isAppendOnly(route) ? FLIGHTS : NOTES;
  const { stack, temporal } = environment;
  const ask = async (action: 'pause' | 'resume', reason?: string): Promise<void> => {
    await sendCommand(temporal.client, {
      ...paused,
      pipeline: PIPELINE,
      action,
      message: reason === undefined ? {} : { reason },
    });
  };
  const killWorker = async (): Promise<void> => {
    await worker.kill();
    display.trouble = 'the new worker takes the slices over as soon as it runs';
    await worker.start();
  };
  return [
    {
      at: 0.25,
      get title() {
        return `kill -9 ${worker.pid}: the worker is gone; another one is started`;
      },
      run: killWorker,
    },
    {
      at: 0.33,
      title: `ClickHouse is stopped for ${OUTAGE_MS / 1_000} s; the writer notices nothing`,
      async run() {
        display.trouble = 'ClickHouse is down';
        await stack.kill('clickhouse', 'SIGTERM');
        await sleep(OUTAGE_MS, undefined, { signal });
        await stack.start('clickhouse');
        display.trouble = '';
      },
    },
    {
      at: 0.6,
      title: `"${paused.table}" is paused for ${PAUSE_MS / 1_000} s${isAppendOnly(route) ? '' : '; the other tables go on'}`,
      async run() {
        await ask('pause', 'part of the demo');
        display.trouble = `"${paused.table}" is paused`;
        await sleep(PAUSE_MS, undefined, { signal });
        await ask('resume');
        display.trouble = '';
      },
    },
    {
      at: 0.78,
      ready: async () => {
        // To be killed in the middle of its work, not while it waits for some.
        const flows = until(
          'The next rows',
          { deadlineMs: FLOWS_AGAIN_MS, everyMs: 50, signal },
          () => probe.lagMs() < 1_000,
        );
        await flows.catch(() => signal.throwIfAborted());
      },
      get title() {
        return `kill -9 ${worker.pid}: the worker is gone again; another one is started`;
      },
      run: killWorker,
    },
  ];
}

async function waitForQuiet({ signal }: DemoContext, fixtures: Fixtures, probe: Probe): Promise<void> {
  let looks = 0;
  await until('Quiet', { deadlineMs: QUIET_DEADLINE_MS, everyMs: LOOK_EVERY_MS, signal }, async () => {
    looks += 1;
    if (looks % 20 === 0) await expectNoPark(fixtures.environment);
    if (probe.waiting === 0) fixtures.display.trouble = '';
    return probe.waiting === 0 && isQuiet(await fixtures.display.gauges.look());
  });
}
