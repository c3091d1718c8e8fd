import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scrape } from '../metrics/scrape.js';
import { Timeline } from '../metrics/timeline.js';
import { PIPELINE, type Ground } from './ground.js';
import { LogLines } from './log-lines.js';
import type { NightTable } from './table.js';

/** As often as Prometheus does by default. */
const SCRAPE_EVERY_MS = 15_000;
const LOOK_EVERY_MS = 2_000;
/** Those that alert rules ask for; the histograms of Temporal are many. */
const WANTED =
  /^(?:pg2click_(?!batch_duration)|temporal_worker_task_slots_available$|temporal_workflow_task_execution_failed_total$|temporal_(?:activity|workflow_task)_schedule_to_start_latency_seconds_bucket$)/u;

/** What is measured all night. */
export interface Gauges {
  readonly timeline: Timeline;
  readonly log: LogLines;
  /** Rows that were confirmed in ClickHouse, those of first loads not among them. */
  loaded(table: NightTable): number;
  stop(): Promise<void>;
}

export function startGauges(ground: Ground, stateDir: string): Gauges {
  const { workers, pool } = ground;
  const file = join(stateDir, 'metrics.jsonl');
  rmSync(file, { force: true });
  const timeline = new Timeline();
  const log = new LogLines(workers.map(({ logFile }) => logFile));
  const stopping = new AbortController();
  const rows = new Map<string, { last: number; sum: number }>();

  const scrapeAll = async (): Promise<void> => {
    const at = Date.now() / 1_000;
    for (const { name, metricsPort } of workers) {
      const samples = await scrape(metricsPort).catch(() => []);
      const wanted = samples
        .filter((sample) => WANTED.test(sample.name))
        .map((sample) => ({ ...sample, labels: { ...sample.labels, instance: name } }));
      timeline.add(at, wanted);
      appendFileSync(file, `${JSON.stringify({ at, samples: wanted })}\n`);
    }
  };
  const count = async (): Promise<void> => {
    const found = await pool.query<{ name: string; rows: number }>(
      /* sql */ `select t.table_name as name, sum(s.rows)::float8 as rows
        from pg2click.stage s join pg2click.replicated_table t on t.id = s.table_id
        where t.pipeline = $1 and (s.stage like 'load:%' or s.stage like 'direct:%') group by 1`,
      [PIPELINE],
    );
    for (const { name, rows: now } of found.rows) {
      const before = rows.get(name) ?? { last: 0, sum: 0 };
      // What was removed and added again begins at 0.
      rows.set(name, { last: now, sum: before.sum + (now >= before.last ? now - before.last : now) });
    }
  };
  const running = (async () => {
    let scrapedAt = 0;
    while (!stopping.signal.aborted) {
      log.read();
      for (const worker of workers) worker.peakMegabytes();
      if (Date.now() - scrapedAt >= SCRAPE_EVERY_MS) {
        scrapedAt = Date.now();
        await scrapeAll();
        await count().catch(() => undefined);
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
    log.read();
    await count().catch(() => undefined);
  })();
  return {
    timeline,
    log,
    loaded: ({ name }) => rows.get(name)?.sum ?? 0,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
