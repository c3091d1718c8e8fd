import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TableOptions } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import { packageRoot } from '../package-root.js';
import type { ServerName } from '../settings/server-name.js';
import type { Settings } from '../settings/settings.js';

export interface DevOptions {
  /** Holds data, logs and `stack.json`. */
  readonly stateDir: string;
  /** Start with empty servers. */
  readonly reset: boolean;
  /** Over TLS only, and a Kafka that asks for a user. */
  readonly secure: boolean;
  /** False: none is started. */
  readonly kafka: boolean;
  /** True: a schema registry too. */
  readonly registry: boolean;
  /** Undefined: a free one. */
  readonly ports: Readonly<Record<ServerName | 'temporalUi', number | undefined>>;
  /** A server whose address the user wrote is not started. */
  readonly settings: Settings;
}

export interface DemoOptions {
  /** Servers and worker stay until Ctrl-C, for a look around. */
  readonly keep: boolean;
  /** How long the live writer runs. */
  readonly seconds: number;
  /** The way of its rows. */
  readonly route: Pick<TableOptions, 'capture' | 'transport' | 'loader' | 'payload' | 'engine' | 'format'>;
  /** Only the result on standard output, as one JSON object; progress goes to standard error. */
  readonly json: boolean;
}

/** How a demo ends. */
export type DemoEnding = 'verified' | 'different' | 'interrupted';

/** What `dev/tools.ts` exports: a checkout has it, a published package has not. The product imports nothing of `dev`. */
export interface DevTools {
  readonly runDev: (options: DevOptions) => Promise<void>;
  readonly runDemo: (options: DemoOptions) => Promise<DemoEnding>;
}

/**
 * @param file the built `dev/tools.ts`
 * @throws Failure `Misconfigured` where the package has none
 */
export async function loadDevTools(file = join(packageRoot, 'dist', 'dev', 'tools.js')): Promise<DevTools> {
  if (existsSync(file)) return (await import(pathToFileURL(file).href)) as DevTools;
  throw new Failure('Misconfigured', {
    message:
      'This installation of pg2click has no local servers and no demo: only a checkout of its source code has them.',
    remedy:
      'Clone the source code and run "npm run demo" there, or name servers of your own in .env and run "pg2click init".',
  });
}
