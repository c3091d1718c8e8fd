import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { endProcess, lastMeaningfulLine, spawnChild } from '../../dev/stack/child.js';
import { identify, isAlive } from '../../src/settings/process-identity.js';

test('a process is known by pid and start time, and gone once it ended', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const identity = identify(child.pid ?? 0);
  if (identity === undefined) throw new Error('sleep is not running');
  expect(isAlive(identity)).toBe(true);
  expect(isAlive({ ...identity, startTime: '1' })).toBe(false);
  await endProcess(identity, 'SIGTERM');
  expect(isAlive(identity)).toBe(false);
});

test('a process that ignores its stop signal is killed after the grace', async () => {
  const child = await spawnIn(`process.on('SIGTERM', () => {}); console.log('deaf'); setInterval(() => {}, 1000)`);
  await expect.poll(() => readFileSync(child.logFile, 'utf8')).toContain('deaf');
  await endProcess(child.identity, 'SIGTERM', 100);
  expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
});

test('a frozen process still hears its stop signal', async () => {
  const child = await spawnIn(`console.log('up'); setInterval(() => {}, 1000)`);
  await expect.poll(() => readFileSync(child.logFile, 'utf8')).toContain('up');
  process.kill(child.identity.pid, 'SIGSTOP');
  await endProcess(child.identity, 'SIGTERM', 10_000);
  expect(await child.exited).toEqual({ code: null, signal: 'SIGTERM' });
});

test.each([
  ['the error rather than what follows it', 'FATAL:  could not bind\nLOG:  shutting down\n', 'FATAL:  could not bind'],
  ['the last line where none is an error', 'one\ntwo\n\n', 'two'],
  ['no stack frames', 'Exception: port taken\n    at Main.run(Main.java:1)\n', 'Exception: port taken'],
  ['nothing of an earlier run', '', undefined],
])('the line quoted from a log is %s', (_claim, written, line) => {
  const earlier = 'ERROR of an earlier run\n';
  const path = join(folder(), 'server.log');
  writeFileSync(path, earlier + written);
  expect(lastMeaningfulLine(path, earlier.length)).toBe(line);
});

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pg2click-child-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function spawnIn(program: string) {
  const directory = folder();
  return spawnChild(
    { command: process.execPath, args: ['-e', program], cwd: directory },
    join(directory, 'logs', 'child.log'),
  );
}
