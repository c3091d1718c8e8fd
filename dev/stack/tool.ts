import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';

export interface ToolRun {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly signal?: AbortSignal;
  /** Every line of its output. */
  readonly onLine?: (line: string) => void;
}

export interface ToolResult {
  readonly code: number;
  /** The last lines it wrote, oldest first. */
  readonly tail: readonly string[];
}

/**
 * Runs a program to its end, in a process group of its own so that an abort also ends what it started.
 * @throws the signal's reason when aborted; an error with code ENOENT when there is no such program
 */
export async function runTool(run: ToolRun): Promise<ToolResult> {
  run.signal?.throwIfAborted();
  const child = spawn(run.command, run.args, {
    cwd: run.cwd,
    env: run.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(run.uid === undefined ? {} : { uid: run.uid }),
    ...(run.gid === undefined ? {} : { gid: run.gid }),
  });
  const tail: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (written) => {
      const line = stripVTControlCharacters(written);
      run.onLine?.(line);
      tail.push(line);
      if (tail.length > 40) tail.shift();
    });
  }
  const abort = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // gone already
    }
  };
  run.signal?.addEventListener('abort', abort);
  // A tool of ours must not outlive a process that exits in the middle of it.
  process.once('exit', abort);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => resolve(status ?? 1));
    });
    run.signal?.throwIfAborted();
    return { code, tail };
  } finally {
    run.signal?.removeEventListener('abort', abort);
    process.removeListener('exit', abort);
  }
}

export function isMissingProgram(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
