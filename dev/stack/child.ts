import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { identify, isAlive, type ProcessIdentity } from '../../src/settings/process-identity.js';
import type { Launch } from './server.js';

const LOG_MAX_BYTES = 10 * 1024 * 1024;

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running server of ours. */
export interface Child {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<Exit>;
  readonly logFile: string;
  /** Size of the log when this process started: what it wrote itself comes after. */
  readonly logStart: number;
}

/**
 * Starts a server in a process group of its own, so that Ctrl-C in our terminal reaches only us, and with its output in a
 * file, so that it survives us without a broken pipe (the next start finds it by its identity).
 */
export async function spawnChild(launch: Launch, logFile: string): Promise<Child> {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const logStart = rotate(logFile);
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(launch.command, launch.args, {
      cwd: launch.cwd,
      env: launch.env ?? process.env,
      stdio: ['ignore', log, log],
      detached: true,
      ...(launch.uid === undefined ? {} : { uid: launch.uid }),
      ...(launch.gid === undefined ? {} : { gid: launch.gid }),
    });
    const exited = new Promise<Exit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    const pid = child.pid;
    if (pid === undefined) throw new Error(`${launch.command} did not start`);
    // A process that is gone already has no start time any more: its exit says the rest.
    return { identity: identify(pid) ?? { pid, startTime: 'exited' }, exited, logFile, logStart };
  } finally {
    closeSync(log);
  }
}

/** Sends a signal unless the process is gone. @returns whether it was sent */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return false;
  }
}

/** Asks a process to stop, kills it when it has not after `graceMs`, and resolves once it is gone. */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals, graceMs = 30_000): Promise<void> {
  signalProcess(identity, 'SIGCONT'); // a frozen process would not hear the other signal
  signalProcess(identity, signal);
  const killAt = Date.now() + graceMs;
  let killed = signal === 'SIGKILL';
  while (isAlive(identity)) {
    if (!killed && Date.now() > killAt) killed = signalProcess(identity, 'SIGKILL');
    await sleep(20);
  }
}

/** The line of a log, after `start` bytes, that most likely says why a server gave up. */
export function lastMeaningfulLine(logFile: string, start: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(logFile).subarray(start).toString('utf8');
  } catch {
    return undefined;
  }
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at |^Node\.js v|^\s*\^+\s*$/.test(line));
  return (lines.findLast((line) => /fatal|panic|error|exception|in use|denied/i.test(line)) ?? lines.at(-1))?.trim();
}

/** Keeps one old log. @returns the size of the log as it is now, in bytes */
function rotate(logFile: string): number {
  const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  if (size < LOG_MAX_BYTES) return size;
  renameSync(logFile, `${logFile}.old`);
  return 0;
}
