import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endProcess, signalProcess, spawnChild, type Child, type Exit } from '../stack/child.js';
import { Failure } from '../../src/failure/failure.js';
import { packageRoot } from '../../src/package-root.js';
import { withoutSettings } from '../../src/settings/settings.js';
import { isAlive, type ProcessIdentity } from '../../src/settings/process-identity.js';

export const MAIN = join(packageRoot, 'dist', 'src', 'cli', 'main.js');

export interface WorkerProcessOptions {
  /** Holds the worker's log and a note of its pid; its working directory. */
  readonly stateDir: string;
  /** PG_HOST and the like; nothing of the user's own settings reaches the worker. */
  readonly settings: Readonly<Record<string, string>>;
}

/** `pg2click worker` as a process of its own, one at a time, which can be killed and started again. */
export interface WorkerProcess {
  readonly pid: number | undefined;
  /** SIGKILL: it gets no chance to finish anything. Resolves once it is gone. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** In order: the batches in hand are finished. */
  stop(): Promise<void>;
}

/**
 * Starts a worker process. On Ctrl-C the terminal does not reach it: its starter stops it. One that a killed
 * parent left behind is ended by the next start on the folder.
 * @param onDeath called when it ends without having been asked to
 */
export async function startWorkerProcess(
  options: WorkerProcessOptions,
  onDeath: (exit: Exit, logFile: string) => void,
): Promise<WorkerProcess> {
  if (!existsSync(MAIN)) {
    throw new Failure('Misconfigured', {
      message: `The worker is not built: there is no ${MAIN}.`,
      remedy: 'Run npm run build.',
    });
  }
  const note = join(options.stateDir, 'worker.json');
  await endOrphan(note);
  let running: Child | undefined;
  const onExit = (): void => void (running !== undefined && signalProcess(running.identity, 'SIGTERM'));
  process.once('exit', onExit);

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = running;
    running = undefined; // its end is no surprise now
    if (child !== undefined) await endProcess(child.identity, signal);
  };
  const worker: WorkerProcess = {
    get pid() {
      return running?.identity.pid;
    },
    kill: () => end('SIGKILL'),
    async start() {
      if (running !== undefined) return;
      const launch = {
        command: process.execPath,
        args: [MAIN, '--no-env-file', 'worker'],
        env: { ...withoutSettings(), PG2CLICK_LOG_FORMAT: 'json', ...options.settings },
        cwd: options.stateDir,
      };
      const child = await spawnChild(launch, join(options.stateDir, 'logs', 'worker.log'));
      running = child;
      writeFileSync(note, JSON.stringify(child.identity));
      void child.exited.then((exit) => {
        if (running !== child) return;
        running = undefined;
        onDeath(exit, child.logFile);
      });
    },
    async stop() {
      await end('SIGTERM');
      process.removeListener('exit', onExit);
    },
  };
  await worker.start();
  return worker;
}

async function endOrphan(note: string): Promise<void> {
  if (!existsSync(note)) return;
  let orphan: ProcessIdentity;
  try {
    orphan = JSON.parse(readFileSync(note, 'utf8')) as ProcessIdentity;
  } catch {
    return; // half written: that worker has never begun
  }
  if (isAlive(orphan)) await endProcess(orphan, 'SIGKILL');
}
