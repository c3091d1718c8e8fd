import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Client } from 'pg';

/** Ids of probes: far from those that PostgreSQL gives out, so that they are one range of the key. */
const FIRST_ID = 1_000_000_000_000;

/** Between two looks. A latency is measured too long by half of this and a query, never too short. */
const LOOK_EVERY_MS = 10;
/** Where ClickHouse does not answer. */
const RETRY_MS = 50;

/** A row that was written to be looked for. Milliseconds of `performance.now()`. */
export interface ProbeSample {
  readonly committedAt: number;
  readonly seenAt: number;
}

/** Measures commit -> queryable: writes a row every so often, and looks for it in ClickHouse until it is there. */
export interface Probe {
  readonly samples: readonly ProbeSample[];
  /** Written and not seen yet. */
  readonly waiting: number;
  /** Age of the oldest that waits, milliseconds; 0 when none does. */
  lagMs(): number;
  /** Writes no more; goes on looking. */
  pauseWrites(): void;
  /** Stops looking too. */
  stop(): Promise<void>;
}

export interface ProbeOptions {
  /** Used by nothing else. */
  readonly postgres: Client;
  readonly clickhouse: ClickHouseClient;
  /** Writes a row with this id and commits. */
  readonly insert: string;
  /** It takes no id, and returns the one that PostgreSQL gave it. */
  readonly draws?: boolean;
  /** Gives the column `id` of what is there between {first: Int64} and {last: Int64}. */
  readonly select: string;
  readonly everyMs: number;
}

export function startProbe(options: ProbeOptions): Probe {
  const samples: ProbeSample[] = [];
  /** By id, ascending: when it was committed. */
  const waiting = new Map<number, number>();
  const writesPaused = new AbortController();
  const stopped = new AbortController();

  const write = async (): Promise<void> => {
    let next = FIRST_ID;
    let due = performance.now();
    while (!writesPaused.signal.aborted) {
      const drawn = options.draws === true;
      const { rows } = await options.postgres.query<{ id: string }>(options.insert, drawn ? [] : [next]);
      waiting.set(drawn ? Number(rows[0]?.id) : next, performance.now());
      next += 1;
      due = Math.max(due + options.everyMs, performance.now());
      await pause(due - performance.now(), writesPaused.signal);
    }
  };

  const look = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const ids = [...waiting.keys()];
      const [first] = ids;
      const last = ids.at(-1);
      if (first !== undefined && last !== undefined) {
        const found = await find(first, last);
        const seenAt = performance.now();
        for (const id of found ?? []) {
          const committedAt = waiting.get(id);
          if (committedAt === undefined) continue;
          waiting.delete(id);
          samples.push({ committedAt, seenAt });
        }
        if (found === undefined) await pause(RETRY_MS, stopped.signal);
      }
      await pause(LOOK_EVERY_MS, stopped.signal);
    }
  };

  const find = async (first: number, last: number): Promise<readonly number[] | undefined> => {
    try {
      const answer = await options.clickhouse.query({
        query: options.select,
        query_params: { first, last },
        format: 'TabSeparated',
      });
      return (await answer.text()).split('\n').filter(Boolean).map(Number);
    } catch {
      // Stopped on purpose, or being started: the probes that wait say how long it took.
      return undefined;
    }
  };

  const running = Promise.all([write(), look()]);
  running.catch(() => {
    writesPaused.abort();
    stopped.abort();
  });
  return {
    samples,
    get waiting() {
      return waiting.size;
    },
    lagMs() {
      const [oldest] = waiting.values();
      return oldest === undefined ? 0 : performance.now() - oldest;
    },
    pauseWrites: () => writesPaused.abort(),
    async stop() {
      writesPaused.abort();
      stopped.abort();
      await running;
    },
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return sleep(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined);
}
