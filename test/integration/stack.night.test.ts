import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { Summary } from '../../dev/night/summary.js';
import { packageRoot } from '../../src/package-root.js';
import { ownStateDir } from '../support/own-stack.js';

const MAIN = join(packageRoot, 'dist', 'dev', 'night', 'main.js');
const WAYS = ['outbox kafka worker row json', 'wal direct', 'poll direct worker row json merge-tree'];
const FAULTS = ['kill-worker', 'reset', 'add-column', 'end-clickhouse'];
/** 50 s with nothing beside it. */
const DEADLINE_MS = 200_000;

it('a night of half a minute: faults are drawn, every table is equal in the end, and it says what it saw', async () => {
  const args = ['--minutes', '0.5', '--seed', '3', '--only', WAYS.join(','), '--faults', FAULTS.join(',')];
  const run = promisify(execFile)(process.execPath, [MAIN, ...args, '--json', '--state-dir', ownStateDir()], {
    timeout: DEADLINE_MS,
  });
  // What a night that does not end was at is in the error.
  const { stdout, stderr } = await run.catch((error: unknown) => {
    throw new Error((error as { stderr?: string }).stderr ?? '', { cause: error });
  });
  const summary = JSON.parse(stdout) as Summary;
  expect(summary).toMatchObject({ isEqual: true, seed: 3, minutes: 0.5, parks: [], wonders: [], strangeLines: [] });
  expect(Object.keys(summary.faults).toSorted()).toEqual(expect.arrayContaining(['kill-worker']));
  expect(summary.tables.map(({ title }) => title)).toEqual([
    'outbox kafka worker row json replacing',
    'poll direct worker row json merge-tree',
    'wal direct worker row json replacing',
    'wal direct worker row json log',
  ]);
  for (const { transactions, loaded, compared, equal } of summary.tables) {
    expect(Math.min(transactions, loaded, compared)).toBeGreaterThan(0);
    expect(equal).toBe(compared);
  }
  expect(summary.log.some(({ message }) => message === 'worker started')).toBe(true);
  expect(stderr).toContain('EQUAL: every row of 4 tables');
});
