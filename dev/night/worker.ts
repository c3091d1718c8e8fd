import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startWorkerProcess, type WorkerProcess } from '../demo/worker-process.js';
import { proxied, type Proxies } from '../network/proxied.js';
import { choosePorts } from '../stack/port.js';
import type { StackAddresses } from '../stack/server.js';
import type { Journal } from './journal.js';

/** A worker, and the network between it and each server. */
export interface NightWorker {
  readonly name: string;
  readonly process: WorkerProcess;
  readonly proxies: Proxies;
  readonly metricsPort: number;
  readonly logFile: string;
  /** The most memory that one of its processes held so far, in megabytes; undefined where there is no /proc. */
  peakMegabytes(): number | undefined;
  close(): Promise<void>;
}

/** @param settingsAt those of a worker that finds the servers at these addresses */
export async function startWorker(options: {
  readonly name: string;
  readonly stateDir: string;
  readonly addresses: StackAddresses;
  readonly settingsAt: (addresses: StackAddresses) => Readonly<Record<string, string>>;
  readonly journal: Journal;
}): Promise<NightWorker> {
  const { name, addresses, settingsAt, journal } = options;
  const stateDir = join(options.stateDir, name);
  mkdirSync(stateDir, { recursive: true });
  // Of the night before.
  rmSync(join(stateDir, 'logs'), { recursive: true, force: true });
  const network = await proxied(addresses);
  const { kafka: metricsPort } = await choosePorts({}, {});
  const settings = { ...settingsAt(network.addresses), PG2CLICK_METRICS: `127.0.0.1:${metricsPort}` };
  const process = await startWorkerProcess({ stateDir, settings }, ({ code, signal }, logFile) =>
    journal.wonder(`${name} ended by itself (${signal ?? code}), see ${logFile}`),
  );
  let peak: number | undefined;
  return {
    name,
    process,
    proxies: network.proxies,
    metricsPort,
    logFile: join(stateDir, 'logs', 'worker.log'),
    peakMegabytes() {
      const now = process.pid === undefined ? undefined : readPeak(process.pid);
      if (now !== undefined) peak = Math.max(peak ?? 0, now);
      return peak;
    },
    async close() {
      await process.kill();
      await process.stop();
      await network.close();
    },
  };
}

function readPeak(pid: number): number | undefined {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
  } catch {
    return undefined;
  }
}
