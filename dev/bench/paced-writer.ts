import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { drawOrders, insertOrders } from './orders.js';
import type { BenchEnvironment } from './environment.js';

/** So many commits a second of so many rows, over so many connections: below what each connection can do. */
export interface Pace {
  readonly rowsPerSecond: number;
  readonly rowsPerCommit: number;
  readonly connections: number;
}

export function paceOf(rowsPerSecond: number): Pace {
  // One connection commits up to 1,700 times a second here; at 200 in all none of them is ever late by itself.
  const rowsPerCommit = rowsPerSecond <= 50 ? 1 : Math.ceil(rowsPerSecond / 200);
  return { rowsPerSecond, rowsPerCommit, connections: rowsPerCommit === 1 ? 1 : 4 };
}

export interface Writing {
  readonly from: number;
  readonly seconds: number;
  /** Told when PostgreSQL has answered the commit of rows `from` to `to`, `performance.now()`. */
  readonly onCommit: (from: number, to: number, at: number) => void;
}

/** @returns the last id and how many rows a second were written */
export async function writePaced(
  environment: BenchEnvironment,
  table: string,
  pace: Pace,
  { from, seconds, onCommit }: Writing,
): Promise<{ readonly last: number; readonly rowsPerSecond: number }> {
  const { rowsPerCommit } = pace;
  const startedAt = performance.now();
  const commits = await commitPaced(environment, pace, seconds, async (pg, commit) => {
    const first = from + commit * rowsPerCommit;
    await insertOrders(pg, table, first, first + rowsPerCommit - 1);
    onCommit(first, first + rowsPerCommit - 1, performance.now());
  });
  const rows = commits * rowsPerCommit;
  return { last: from + rows - 1, rowsPerSecond: Math.round((rows * 1_000) / (performance.now() - startedAt)) };
}

/** Likewise, where PostgreSQL gives the ids. @returns the highest one */
export async function writeDrawn(
  environment: BenchEnvironment,
  table: string,
  pace: Pace,
  { seconds, onCommit }: Omit<Writing, 'from'>,
): Promise<number> {
  let last = 0;
  await commitPaced(environment, pace, seconds, async (pg) => {
    const ids = await drawOrders(pg, table, pace.rowsPerCommit);
    const at = performance.now();
    for (const id of ids) onCommit(id, id, at);
    last = Math.max(last, ...ids);
  });
  return last;
}

/** @returns how many commits were made */
async function commitPaced(
  environment: BenchEnvironment,
  { rowsPerSecond, rowsPerCommit, connections }: Pace,
  seconds: number,
  commit: (pg: ClientBase, index: number) => Promise<void>,
): Promise<number> {
  const commits = Math.round((rowsPerSecond * seconds) / rowsPerCommit);
  const everyMs = (seconds * 1_000) / commits;
  const startedAt = performance.now();
  const write = async (connection: number): Promise<void> => {
    await using pg = await environment.connect('writer');
    for (let index = connection; index < commits; index += connections) {
      const early = startedAt + index * everyMs - performance.now();
      if (early > 1) await sleep(early, undefined, { signal: environment.signal });
      await commit(pg, index);
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, connection) => write(connection)));
  return commits;
}
