import type { BenchOptions } from './options.js';
import type { BenchEnvironment } from './environment.js';
import type { Table } from './table.js';

/** Something that is measured: alone, or after others on the same environment. It leaves no replicated table behind. */
export interface Scenario {
  readonly name: string;
  readonly summary: string;
  run(run: Run): Promise<Report>;
}

export interface Run {
  readonly environment: BenchEnvironment;
  readonly options: BenchOptions;
  /** Says what is being done. */
  readonly report: (detail: string) => void;
}

export interface Report {
  readonly tables: readonly Table[];
  /** What `--json` shows under the scenario's name. */
  readonly result: object;
}
