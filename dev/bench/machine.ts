import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import type { BenchEnvironment } from './environment.js';

/** Where figures were taken: without it they say nothing. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGB: number;
  /** Of the minute before the first scenario: what else this machine was doing. */
  readonly loadAverage: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
  readonly clickhouse: string;
}

/** @param loadBefore the load average before the servers were started */
export async function describeMachine(
  { postgres, clickhouse }: BenchEnvironment,
  loadBefore: number,
): Promise<Machine> {
  const server = await postgres.query<{ version: string }>(/* sql */ `select split_part(version(), ' ', 2) as version`);
  const engine = await clickhouse.query({ query: /* sql */ `select version() as version`, format: 'JSONEachRow' });
  const [version] = await engine.json<{ version: string }>();
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGB: Math.round(totalmem() / 1024 ** 3),
    loadAverage: loadBefore,
    system: `${platform()} ${release()} ${arch()}`,
    node: process.versions.node,
    postgres: server.rows[0]?.version ?? 'unknown',
    clickhouse: version?.version ?? 'unknown',
  };
}

export function machineLine(machine: Machine): string {
  const { cores, cpu, memoryGB, loadAverage, system, node, postgres, clickhouse } = machine;
  return `${cores} cores (${cpu}), ${memoryGB} GB, ${system}, Node ${node}, PostgreSQL ${postgres}, ClickHouse ${clickhouse}; everything on this one machine, whose load average was ${loadAverage.toFixed(1)} before`;
}
