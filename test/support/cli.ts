import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { packageRoot } from '../../src/package-root.js';
import { withoutSettings } from '../../src/settings/settings.js';

const MAIN = join(packageRoot, 'dist', 'src', 'cli', 'main.js');

export interface CliResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliRun {
  readonly process: ChildProcess;
  readonly ended: Promise<CliResult>;
  /** What it wrote so far, both streams. */
  output(): string;
}

export interface CliOptions {
  /** Settings; those of this process are left out. */
  readonly env?: Readonly<Record<string, string>>;
  readonly directory?: string;
}

/** A folder of the test's own, without a `.env`, removed when the test ends. */
export function emptyFolder(): string {
  const folder = makeFolder();
  onTestFinished(() => removeFolder(folder));
  return folder;
}

/** Starts the built command line as a person would. It is killed, if need be, when the test ends. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliRun {
  const run = spawnCli(args, options.directory ?? emptyFolder(), options);
  onTestFinished(async () => {
    if (run.process.exitCode === null && run.process.signalCode === null) run.process.kill('SIGKILL');
    await run.ended;
  });
  return run;
}

/** Runs the built command line to its end. Hooks, and tests that run beside others, may call it too. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const directory = options.directory ?? makeFolder();
  const { process: child, ended } = spawnCli(args, directory, options);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    return await ended;
  } finally {
    process.removeListener('exit', kill);
    if (options.directory === undefined) removeFolder(directory);
  }
}

function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'pg2click-cli-'));
}

function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

function spawnCli(args: readonly string[], directory: string, options: CliOptions): CliRun {
  if (!existsSync(MAIN)) throw new Error('The command line is not built: run "npm run build" first.');
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: directory,
    // HOME: the Temporal command line's configuration of this machine must not speak here.
    env: { ...withoutSettings(), HOME: directory, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text));
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, ...written }));
  });
  return { process: child, ended, output: () => `${written.stdout}${written.stderr}` };
}
