import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached, isCached } from '../../dev/stack/cache.js';
import { isMissingProgram, runTool } from '../../dev/stack/tool.js';
import { packageRoot } from '../../src/package-root.js';

/** A Python with packages. */
export interface Python {
  /**
   * Starts a program, which runs until it ends by itself or is stopped.
   * @param program path of the file, from the root of the checkout
   */
  start(program: string, env: Readonly<Record<string, string>>): Program;
}

export interface Program {
  /** Lines of standard output so far. */
  readonly lines: readonly string[];
  /** Kills it. @throws Error with what it wrote, if it has failed by itself */
  stop(): Promise<void>;
  /** Waits for its end. @throws Error with what it wrote, unless it ended with 0 */
  end(): Promise<void>;
}

/** Where packets are dropped, pip's own 15 s and five repetitions would take minutes. */
const PIP = ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--timeout=10', '--retries=2'];

/**
 * A Python with the packages of `examples/<folder>/requirements.txt`. pip puts them into the cache of the local stack the first time.
 * A folder of their own and PYTHONPATH in place of a venv: a venv needs a package that Debian leaves out, and cannot be renamed.
 * @throws Error one sentence: there is no python3, no pip, or pip fails
 */
export async function pythonFor(folder: string): Promise<Python> {
  const requirements = join(packageRoot, 'examples', folder, 'requirements.txt');
  const version = await versionOfPython();
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const entry = `python-${version}-${process.platform}-${process.arch}-${hash}`;
  if (!isCached(entry)) console.log(`python: pip installs the packages of examples/${folder} into the cache, once`);
  const packages = await cached(entry, async (target) => {
    const args = [...PIP, '--only-binary=:all:', `--target=${target}`, '-r', requirements];
    const { code, tail } = await runTool({ command: 'python3', args, signal: AbortSignal.timeout(150_000) });
    if (code === 0) return;
    const reason = tail.findLast((line) => /^error|no module/iu.test(line)) ?? tail.at(-1) ?? 'no message';
    throw new Error(`pip could not install examples/${folder}/requirements.txt for Python ${version}: ${reason}`);
  });
  return {
    start: (program, env) => start(join(packageRoot, program), { ...env, PYTHONPATH: packages, PYTHONUNBUFFERED: '1' }),
  };
}

/** Major and minor. */
async function versionOfPython(): Promise<string> {
  const args = ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'];
  const { code, tail } = await runTool({ command: 'python3', args }).catch((error: unknown) => {
    if (!isMissingProgram(error)) throw error;
    throw new Error('This test runs Python programs, and there is no python3 on the PATH: install Python 3 with pip.');
  });
  const version = tail.at(-1);
  if (code !== 0 || version === undefined) throw new Error(`python3 does not run: ${version ?? 'no message'}`);
  return version;
}

/** The environment of the test does not reach the program: it may hold addresses of servers of the user's. */
function start(program: string, env: Readonly<Record<string, string>>): Program {
  return startProgram('python3', [program], {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '',
    PYTHONDONTWRITEBYTECODE: '1',
    ...env,
  });
}

/** Starts a program of the examples, in any language. */
export function startProgram(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Program {
  const child = spawn(command, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()).once('error', () => resolve()));
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  void ended.then(() => process.removeListener('exit', kill));
  const failure = (): Error =>
    new Error(`${args.at(-1)} ended with ${child.exitCode ?? child.signalCode}: ${errors || output}`);
  return {
    get lines() {
      return output.split('\n').slice(0, -1);
    },
    async stop() {
      const hadEnded = child.exitCode !== null || child.signalCode !== null;
      if (hadEnded && child.exitCode !== 0 && !child.killed) throw failure();
      kill();
      await ended;
    },
    async end() {
      await ended;
      if (child.exitCode !== 0) throw failure();
    },
  };
}
