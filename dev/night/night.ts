import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectKafka } from '../../src/connect/kafka.js';
import { startTable } from '../../src/control/start-table.js';
import { loadSettings } from '../../src/settings/settings.js';
import { CleanupStack } from '../cleanup-stack.js';
import { until } from '../demo/until.js';
import { firedAlerts } from '../metrics/alerts.js';
import { settingsOf } from '../stack/stack-settings.js';
import { startAttendant, type Attendant } from './attendant.js';
import { persist, type Scene } from './fault.js';
import { runFaults } from './faults.js';
import { startGauges, type Gauges } from './gauges.js';
import { openGround, PIPELINE, type Ground } from './ground.js';
import type { Journal } from './journal.js';
import { judge, type Verdict } from './judge.js';
import type { NightOptions } from './options.js';
import { parkSummary, tableSummary, type Summary } from './summary.js';
import { DEBEZIUM, tableOf, type NightTable } from './table.js';
import { optionsOf, workingChoices } from './ways.js';
import { viewTables } from './view-tables.js';
import { createTables, startWriters } from './writers.js';
import { FIRST_ROWS } from './works.js';

const FIRST_LOAD_MS = 300_000;
/** With two cores for all of it. A park in the last minute is healed in this time too. */
const SETTLE_MS = 600_000;
const JUDGE_AGAIN_MS = 3_000;

/**
 * Sets up all servers and two workers, adds a table for each way, writes to all of them while faults are drawn, then makes everything
 * whole, and compares every row.
 * @throws Failure where something could not be started; the signal's reason
 */
export async function runNight(options: NightOptions, journal: Journal, signal: AbortSignal): Promise<Summary> {
  const { stateDir, seed, minutes } = options;
  const tables = workingChoices()
    .map(tableOf)
    .filter(({ title }) => options.only.length === 0 || options.only.some((part) => title.includes(part)));
  await using cleanup = new Cleanup();
  journal.say(`${tables.length} tables, seed ${seed}; starting the servers`);
  const foreign = tables.filter(({ isForeign }) => isForeign).map(({ name }) => name);
  const ground = await openGround({ stateDir, journal, cleanup, signal, foreign });
  const pg = await ground.connect();
  await createTables(pg, tables);
  await addTables(ground, tables, signal);
  await firstLoad(ground, tables, signal);
  journal.say('the first load is there');

  const over = new AbortController();
  const scene: Scene = { ground, tables, journal, signal: AbortSignal.any([over.signal, signal]) };
  // Every pause of a fault listens to it.
  setMaxListeners(0, scene.signal, over.signal, signal);
  const gauges = startGauges(ground, stateDir);
  cleanup.defer(() => gauges.stop());
  const attendant = startAttendant(scene);
  cleanup.defer(() => attendant.stop());
  const writers = startWriters(ground, tables, { seed, rate: options.rate });
  cleanup.defer(() => writers.stop());
  const ending = sleep(minutes * 60_000, undefined, { signal }).catch(() => undefined);
  void ending.then(() => over.abort());
  const faults = await runFaults(scene, { seed, only: options.faults });
  await ending;
  await writers.stop();
  signal.throwIfAborted();
  journal.say('the night is over: everything is made whole, and nobody writes');
  await mend(ground, tables);
  const startedAt = Date.now();
  const verdicts = await settle({ ground, tables, attendant, journal, signal });
  const settledAfterSeconds = (Date.now() - startedAt) / 1_000;
  await attendant.stop();
  await gauges.stop();
  return {
    minutes,
    seed,
    isEqual: verdicts.every(({ isEqual }) => isEqual),
    settledAfterSeconds,
    faults: Object.fromEntries(faults),
    tables: verdicts.map((verdict) =>
      tableSummary(verdict, {
        transactions: writers.committed(verdict.table),
        loaded: gauges.loaded(verdict.table),
      }),
    ),
    parks: attendant.parks.map(parkSummary),
    alerts: firedAlerts(gauges.timeline),
    log: [...gauges.log.kinds.values()].toSorted((a, b) => b.count - a.count),
    logLines: [...gauges.log.kinds.values()].reduce((sum, { count }) => sum + count, 0),
    strangeLines: gauges.log.strange,
    longestLagSeconds: longestLag(gauges),
    peakMegabytes: Object.fromEntries(ground.workers.map((worker) => [worker.name, worker.peakMegabytes()])),
    wonders: journal.wonders,
  };
}

class Cleanup extends CleanupStack implements AsyncDisposable {
  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync();
  }
}

async function addTables(ground: Ground, tables: readonly NightTable[], signal: AbortSignal): Promise<void> {
  const foreign = tables.filter(({ isForeign }) => isForeign);
  if (foreign.length > 0) {
    await ground.debezium?.start();
    await snapshotTaken(ground, foreign, signal);
  }
  for (const table of tables) {
    const topic = table.isForeign ? { topic: topicOf(table) } : {};
    await startTable(ground.temporal.client, {
      pipeline: PIPELINE,
      schema: 'public',
      table: table.name,
      taskQueue: ground.queues.workflow,
      options: { ...optionsOf(table.choice), ...topic },
    });
  }
}

function topicOf({ name }: NightTable): string {
  return `${DEBEZIUM}.public.${name}`;
}

/** Debezium makes its topics with its snapshot, a message a row. */
async function snapshotTaken(ground: Ground, foreign: readonly NightTable[], signal: AbortSignal): Promise<void> {
  const { kafka } = ground.stack.addresses;
  const env = settingsOf({ kafka }).kafka ?? {};
  const admin = connectKafka(loadSettings({ env, envFile: false, stackFile: false }), undefined).admin();
  await admin.connect();
  try {
    await until('The snapshot of Debezium', { deadlineMs: FIRST_LOAD_MS, everyMs: 500, signal }, async () => {
      ground.debezium?.requireRunning();
      const ends = await Promise.all(foreign.map((table) => admin.fetchTopicOffsets(topicOf(table)).catch(() => [])));
      return ends.every(([end]) => Number(end?.high ?? 0) >= FIRST_ROWS);
    });
  } finally {
    await admin.disconnect();
  }
}

/** A log begins with the moment at which its table was prepared: what is written before is not in it. */
async function firstLoad(ground: Ground, tables: readonly NightTable[], signal: AbortSignal): Promise<void> {
  const pg = await ground.connect();
  const waiting = new Set(tables);
  await until('The first load', { deadlineMs: FIRST_LOAD_MS, everyMs: 1_000, signal }, async () => {
    const views = await viewTables(ground);
    const loaded = new Set(
      views.flatMap(({ table, phase, copied }) => (copied && phase === 'streaming' ? [table] : [])),
    );
    for (const table of waiting) {
      if (!loaded.has(`public.${table.name}`)) continue;
      if (table.isLog || (await judge(ground, pg, table)).isEqual) waiting.delete(table);
    }
    return waiting.size === 0;
  });
}

/** What a fault that the end of the night cut short has left, and what it would have come to mend. */
async function mend(ground: Ground, tables: readonly NightTable[]): Promise<void> {
  for (const worker of ground.workers) {
    await Promise.all(Object.values(worker.proxies).map((proxy) => proxy.pass()));
    await worker.process.start();
  }
  const pg = await persist(() => ground.connect());
  for (const { name, isLog } of tables)
    if (!isLog) await pg.query(`update ${name} set at = now() where at = 'infinity'`);
}

async function settle({
  ground,
  tables,
  attendant,
  journal,
  signal,
}: {
  readonly ground: Ground;
  readonly tables: readonly NightTable[];
  readonly attendant: Attendant;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}): Promise<readonly Verdict[]> {
  const pg = await ground.connect();
  const verdicts = new Map<NightTable, Verdict>();
  let told = '';
  for (const deadline = Date.now() + SETTLE_MS; ;) {
    for (const table of tables) {
      if (verdicts.get(table)?.isEqual === true) continue;
      verdicts.set(table, await judge(ground, pg, table));
    }
    const different = [...verdicts.values()].filter(({ isEqual }) => !isEqual);
    const isOver = Date.now() > deadline;
    if ((different.length === 0 && attendant.isQuiet()) || isOver) {
      // Once more, all at one time: what was equal may have become something else.
      const last: Verdict[] = [];
      for (const table of tables) last.push(await judge(ground, pg, table));
      if (isOver || last.every(({ isEqual }) => isEqual)) {
        for (const trouble of attendant.troubles()) journal.say(`   ${trouble}`);
        return last;
      }
      for (const verdict of last) verdicts.set(verdict.table, verdict);
    }
    const story = storyOf(different, attendant.troubles());
    if (story !== told) journal.say(`   ${story}`);
    told = story;
    await sleep(JUDGE_AGAIN_MS, undefined, { signal });
  }
}

function storyOf(different: readonly Verdict[], troubles: readonly string[]): string {
  const list = (texts: readonly string[]): string => (texts.length === 0 ? '' : `: ${texts.slice(0, 3).join('; ')}`);
  const differ = list(different.map(({ table, difference }) => `${table.name} ${difference}`));
  return `${different.length} tables differ${differ}; ${troubles.length} are not well${list(troubles)}`;
}

function longestLag({ timeline }: Gauges): Summary['longestLagSeconds'] {
  let longest = { table: '', seconds: 0 };
  for (const { labels, points } of timeline.named('pg2click_lag_seconds'))
    for (const { value } of points)
      if (value > longest.seconds) longest = { table: `${labels['table']}, ${labels['stage']}`, seconds: value };
  return longest;
}
