import { setTimeout as sleep } from 'node:timers/promises';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { createPostgresPool } from '../../src/connect/postgres.js';
import { loaderNamed, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import type { Commits } from './commits.js';
import { count, type BenchEnvironment } from './environment.js';

const SAMPLE_MS = 1_000;
const SHOW_EVERY = 5;
const LOOK_MS = 50;

/** Where everything stood at a second. Absent: the server that knows was away. */
export interface Sample {
  /** Since the timeline began. */
  readonly second: number;
  /** Rows inserted, changed and deleted so far. */
  readonly committed: number;
  readonly outbox?: number | undefined;
  readonly published?: number | undefined;
  readonly loaded?: number | undefined;
  /** Age of the oldest insert that cannot be queried in ClickHouse, seconds. */
  readonly lagSeconds: number;
  /** What happened in this second. */
  readonly notes: readonly string[];
}

export interface Timeline {
  /** Highest id that was seen in ClickHouse. */
  readonly visible: number;
  readonly lagSeconds: number;
  note(text: string): void;
  /** Looks into ClickHouse now. @throws where it is away */
  look(): Promise<void>;
  /** Pid of the worker that has claimed loading. */
  loader(): Promise<number>;
  /** @returns all samples */
  stop(): Promise<readonly Sample[]>;
}

export interface TimelineOptions {
  readonly table: ReplicatedTable;
  readonly commits: Commits;
  readonly say: (line: string) => void;
}

interface LedgerRow {
  readonly published: number;
  readonly loaded: number;
  readonly outbox: number;
  readonly loader: string;
}

/** Looks at every stage each second, and says so every five. Servers that are away are asked again. */
export function startTimeline(
  environment: BenchEnvironment,
  { table: replica, commits, say }: TimelineOptions,
): Timeline {
  const pool = createPostgresPool(environment.settings, { max: 2, name: 'timeline' });
  const clickhouse = connectClickHouse(environment.settings, { requestTimeoutMs: 2_000, connections: 2 });
  const startedAt = performance.now();
  const stopping = new AbortController();
  const samples: Sample[] = [];
  let notes: string[] = [];
  let visible = 0;

  const lagSeconds = (): number =>
    visible >= commits.last ? 0 : (performance.now() - (commits.committedAt(visible + 1) ?? performance.now())) / 1_000;
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  const look = async (): Promise<void> => {
    const query = /* sql */ `select max(id) as n from ${loaderNamed(replica).target.table} where id > ${visible}`;
    visible = Math.max(visible, await count(clickhouse, query));
  };
  const keepLooking = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await look().catch(() => undefined);
      await pause(LOOK_MS);
    }
  };
  const sample = async (): Promise<void> => {
    say(line('s', 'committed', 'outbox', 'published', 'loaded', 'lag s'));
    for (let second = 0; !stopping.signal.aborted; second += 1) {
      const ledger = await readLedger(pool, replica.id).catch(() => undefined);
      const happened = notes;
      notes = [];
      const { published, loaded, outbox } = ledger ?? {};
      const taken: Sample = {
        second: Math.round((performance.now() - startedAt) / 1_000),
        committed: commits.changes,
        outbox,
        published,
        loaded,
        lagSeconds: Math.round(lagSeconds() * 10) / 10,
        notes: happened,
      };
      samples.push(taken);
      if (second % SHOW_EVERY === 0 || happened.length > 0) say(show(taken));
      await pause(startedAt + (second + 1) * SAMPLE_MS - performance.now());
    }
  };
  const running = Promise.all([keepLooking(), sample()]);
  running.catch(() => undefined);
  return {
    get visible() {
      return visible;
    },
    get lagSeconds() {
      return lagSeconds();
    },
    note: (text) => void notes.push(text),
    look,
    loader: async () => Number((await readLedger(pool, replica.id)).loader.split('/').at(-1)),
    async stop() {
      stopping.abort();
      await running;
      await pool.end();
      await clickhouse.close();
      return samples;
    },
  };
}

async function readLedger(pool: ReturnType<typeof createPostgresPool>, id: string): Promise<LedgerRow> {
  const { rows } = await pool.query<LedgerRow>(/* sql */ `
    select
      (select rows::float8 from pg2click.stage where table_id = ${id} and stage = 'publish') as published,
      (select rows::float8 from pg2click.stage where table_id = ${id} and stage = 'load:main') as loaded,
      (select owner from pg2click.stage where table_id = ${id} and stage = 'load:main') as loader,
      (select count(*)::float8 from pg2click.outbox_${id}) as outbox`);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger is empty');
  return row;
}

function show({ second, committed, outbox, published, loaded, lagSeconds, notes }: Sample): string {
  const remarks = notes.length === 0 ? '' : `   ${notes.join(', ')}`;
  const text = line(
    String(second),
    figure(committed),
    figure(outbox),
    figure(published),
    figure(loaded),
    lagSeconds.toFixed(1),
  );
  return `${text}${remarks}`;
}

function figure(value: number | undefined): string {
  return value === undefined ? '-' : value.toLocaleString('en-US');
}

function line(...cells: readonly string[]): string {
  return `  ${cells.map((cell, index) => cell.padStart(index === 0 ? 4 : 10)).join('')}`;
}
