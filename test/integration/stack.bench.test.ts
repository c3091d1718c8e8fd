import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { withoutSettings } from '../../src/settings/settings.js';
import { ownStateDir, processesOf } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';
import { identify, isAlive, type ProcessIdentity } from '../../src/settings/process-identity.js';

interface Running {
  readonly child: ChildProcess;
  readonly heard: { out: string; err: string };
  readonly ended: Promise<number | null>;
}

function startBench(stateDir: string, ...args: string[]): Running {
  const main = join(packageRoot, 'dist', 'dev', 'bench', 'main.js');
  const child = spawn(process.execPath, [main, '--state-dir', stateDir, ...args], { env: withoutSettings() });
  const heard = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (heard.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (heard.err += text));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  // Only what is gone leaves orphans that the folder's own clearing finds.
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, heard, ended };
}

const positive: unknown = expect.toSatisfy((value: unknown) => typeof value === 'number' && value > 0);
/** The kernel counts in hundredths of a second: a small piece of work may not have taken one. */
const counted: unknown = expect.toSatisfy((value: unknown) => typeof value === 'number' && value >= 0);

test('a small backlog is measured beside its ceilings, and told as one JSON object', async () => {
  const stateDir = ownStateDir();
  const { heard, ended } = startBench(stateDir, '--only', 'backlog', '--format', 'json', '--rows', '2000', '--json');
  expect(await ended, heard.err).toBe(0);

  const step = {
    rowsPerSecond: positive,
    ratio: positive,
    ceiling: { name: expect.any(String) as unknown, rowsPerSecond: positive },
    coreSeconds: { worker: counted, postgres: counted, kafka: counted },
    workerPeakMB: positive,
    rowsPerBatch: positive,
  };
  const format = { publish: step, load: step, both: step };
  const measured = JSON.parse(heard.out.trim().split('\n').at(-1) ?? '') as {
    scenarios: { backlog: { json: { ceilings: { name: string; rowsPerSecond: number }[] } } };
  };
  expect(measured).toMatchObject({
    machine: { cores: positive, postgres: expect.stringMatching(/^\d/u) as unknown },
    options: { rows: 2_000 },
    scenarios: { backlog: { rows: 2_000, json: format } },
  });
  const { ceilings } = measured.scenarios.backlog.json;
  expect(ceilings.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['drain to nowhere', 'kafkajs produce', 'our produce', 'our fetch', 'JSONEachRow insert']),
  );
  for (const { rowsPerSecond } of ceilings) expect(rowsPerSecond).toBeGreaterThan(0);
  expect(heard.err).toMatch(/json +publish +[\d,]+ +\d+%/u);
  expect(processesOf(stateDir)).toEqual([]);
});

test('Ctrl-C ends a run with its worker and its servers', async () => {
  const stateDir = ownStateDir();
  const { child, heard, ended } = startBench(stateDir, '--only', 'backlog');
  const worker = await waitFor(() => workerOf(child), {
    deadlineMs: 120_000,
    what: 'the worker of the first scenario',
  });
  child.kill('SIGINT');
  expect(await ended, heard.out + heard.err).toBe(130);
  expect(isAlive(worker)).toBe(false);
  expect(processesOf(stateDir)).toEqual([]);
});

/** The process that it started with `pg2click worker`. */
function workerOf({ pid }: ChildProcess): ProcessIdentity | undefined {
  const listed = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
  const line = listed
    .split('\n')
    .map((text) => text.trim().split(/\s+/u))
    .find(([, parent, ...args]) => Number(parent) === pid && args.includes('worker'));
  return line === undefined ? undefined : identify(Number(line[0]));
}
