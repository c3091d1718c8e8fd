import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Client, Pool } from 'pg';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { connectPostgres, createPostgresPool } from '../../src/connect/postgres.js';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import { startStack, type Stack, type StackEvent } from '../stack/stack.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { startWorkerProcess, type WorkerProcess } from './worker-process.js';

/** The demo's tables are a pipeline of their own. */
export const PIPELINE = 'demo';

/** What the demo runs on: servers of its own, on a folder of its own. Nothing of the user's settings is read. */
export interface Environment {
  readonly stack: Stack;
  readonly settings: Settings;
  readonly stackFile: string;
  readonly clickhouse: ClickHouseClient;
  readonly temporal: TemporalClient;
  /** For questions that stand alone. */
  readonly pool: Pool;
  /** A connection that is ended at the end. */
  connect(name: string): Promise<Client>;
  startWorker(onDeath: (text: string) => void): Promise<WorkerProcess>;
}

/** Ends things in the reverse order of their beginning, whatever some of them say to it. */
export class Curtain {
  #endings: (() => Promise<unknown>)[] = [];

  add(ending: () => Promise<unknown>): void {
    this.#endings.push(ending);
  }

  /** Ends what was added since the last time. */
  async fall(): Promise<void> {
    const endings = this.#endings.toReversed();
    this.#endings = [];
    for (const ending of endings) await ending().catch(() => undefined);
  }
}

/**
 * Starts the four servers, empty, and connects.
 * @throws Failure as `startStack`; the signal's reason when aborted
 */
export async function openEnvironment(options: {
  readonly stateDir: string;
  readonly signal: AbortSignal;
  readonly curtain: Curtain;
  readonly report: (event: StackEvent) => void;
}): Promise<Environment> {
  const { stateDir, signal, curtain } = options;
  const stack = await startStack({ stateDir, reset: true, signal, report: options.report });
  curtain.add(() => stack.stop());
  const stackFile = join(stateDir, 'stack.json');
  const env = { PG2CLICK_PIPELINE: PIPELINE, PG2CLICK_STACK_FILE: stackFile };
  const settings = loadSettings({ env, envFile: false });
  const clickhouse = connectClickHouse(settings, { requestTimeoutMs: 30_000 });
  curtain.add(() => clickhouse.close());
  const pool = createPostgresPool(settings, { max: 4, name: 'demo' });
  curtain.add(() => pool.end());
  const temporal = await connectTemporal(settings);
  curtain.add(() => temporal.close());
  return {
    stack,
    settings,
    stackFile,
    clickhouse,
    temporal,
    pool,
    async connect(name) {
      const pg = await connectPostgres(settings, { name: `demo ${name}` });
      // As a user's session: ours find nothing by a bare name.
      await pg.query(/* sql */ `set search_path = public`);
      curtain.add(async () => pg[Symbol.asyncDispose]());
      return pg;
    },
    async startWorker(onDeath) {
      const worker = await startWorkerProcess({ stateDir, settings: env }, ({ code, signal: by }, logFile) =>
        onDeath(`the worker ended by itself (${by ?? `exit code ${code}`}); its log is ${logFile}`),
      );
      curtain.add(() => worker.stop());
      return worker;
    },
  };
}
