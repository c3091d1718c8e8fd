import type { Curtain, Environment } from './environment.js';
import type { WatchedTable } from './gauges.js';
import type { Scenery } from './live-block.js';
import type { Screen } from './screen.js';
import type { WorkerProcess } from './worker-process.js';

/** What every chapter of the demo is told. */
export interface Telling {
  readonly stateDir: string;
  /** How long the live writer runs. */
  readonly seconds: number;
  readonly screen: Screen;
  /** Whatever a chapter starts it hands to the curtain, which ends it. */
  readonly curtain: Curtain;
  readonly signal: AbortSignal;
}

/** What the first chapter sets up and the others play with. */
export interface Cast {
  readonly environment: Environment;
  readonly worker: WorkerProcess;
  readonly tables: readonly WatchedTable[];
  readonly scenery: Scenery;
  /** Rows at the beginning. */
  readonly sizes: { readonly flights: number; readonly notes: number; readonly gates: number };
}
