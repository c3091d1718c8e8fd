import type { CleanupStack } from '../cleanup-stack.js';
import type { Environment } from './environment.js';
import type { WatchedTable } from './gauges.js';
import type { DisplayState } from './live-block.js';
import type { DemoRoute } from './route.js';
import type { Screen } from './screen.js';
import type { WorkerProcess } from './worker-process.js';

/** What every phase of the demo gets. */
export interface DemoContext {
  readonly stateDir: string;
  /** How long the live writer runs. */
  readonly seconds: number;
  readonly route: DemoRoute;
  readonly screen: Screen;
  /** What a phase starts it defers the end of here. */
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
}

/** What the first phase sets up and the others use. */
export interface Fixtures {
  readonly environment: Environment;
  readonly worker: WorkerProcess;
  readonly tables: readonly WatchedTable[];
  readonly display: DisplayState;
  /** Rows at the beginning. */
  readonly sizes: { readonly flights: number; readonly notes: number; readonly gates: number };
}
