import { join, relative } from 'node:path';
import type { DemoEnding, DemoOptions } from '../../src/cli/dev-tools.js';
import type { DemoContext } from './context.js';
import { CleanupStack } from '../cleanup-stack.js';
import { PIPELINE, type Environment } from './environment.js';
import { loadFirst } from './first-load.js';
import { runLive } from './live-phase.js';
import { describeRoute, requireRoute } from './route.js';
import { composeResult, resultLines, type DemoResult } from './result.js';
import { openScreen, type Screen } from './screen.js';
import { setUp } from './set-up.js';
import { verifyAll } from './verify.js';
import { MAIN } from './worker-process.js';

export interface RunDemoOptions extends DemoOptions {
  /** Ends it as Ctrl-C does. */
  readonly signal?: AbortSignal;
  /** Default: `.pg2click/demo` in the current folder. Emptied at the start. */
  readonly stateDir?: string;
}

/**
 * Sets up four servers and a worker, fills tables, replicates them, writes to them while things break, and compares every
 * row at the end. Everything it starts it also stops, on Ctrl-C and SIGTERM too; the second signal does not wait for that.
 * @returns whether every row was equal, or that it was interrupted before that was known
 * @throws Failure where something could not be started or a table was parked
 */
export async function runDemo(options: RunDemoOptions): Promise<DemoEnding> {
  requireRoute(options.route);
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const out = options.json ? process.stderr : process.stdout;
  const screen = openScreen(out);
  const cleanup = new CleanupStack();
  let result: DemoResult | undefined;
  const stateDir = options.stateDir ?? join(process.cwd(), '.pg2click', 'demo');
  const context = { stateDir, seconds: options.seconds, route: options.route, screen, cleanup, signal };
  const show = async (): Promise<void> => {
    const finished = await runPhases(context);
    result = finished.result;
    for (const line of resultLines(result, screen.paint)) screen.say(line);
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    if (!options.keep) return;
    for (const line of lookAround(finished.environment, screen)) screen.say(line);
    await aborted(signal);
  };
  const showing = show();
  try {
    await Promise.race([showing, aborted(signal)]);
  } finally {
    screen.close();
    if (signal.aborted) out.write('stopping what was started; once more to leave at once\n');
    await cleanup.disposeAsync();
    // What was interrupted ends by itself, now that nothing answers it; it may have started something meanwhile.
    await showing.catch(() => undefined);
    await cleanup.disposeAsync();
    for (const each of signals) process.removeListener(each, onSignal);
  }
  if (result === undefined) return 'interrupted';
  return result.verified ? 'verified' : 'different';
}

async function runPhases(context: DemoContext): Promise<{ result: DemoResult; environment: Environment }> {
  const startedAt = Date.now();
  const { screen } = context;
  screen.say('');
  screen.say(`  ${screen.paint.bold('pg2click')}  ${describeRoute(context.route)}, driven by Temporal`);
  screen.say(`  ${screen.paint.dim(`state and logs: ${relative(process.cwd(), context.stateDir)}`)}`);
  screen.say('');
  const fixtures = await setUp(context);
  const firstLoad = await loadFirst(context, fixtures);
  const phase = await runLive(context, fixtures);
  const comparisons = await verifyAll(context, fixtures);
  const elapsedSeconds = (Date.now() - startedAt) / 1_000;
  return {
    result: composeResult({ comparisons, firstLoad, ...phase, elapsedSeconds }),
    environment: fixtures.environment,
  };
}

/** What to try while it runs on. */
function lookAround({ settings, stackFile }: Environment, screen: Screen): string[] {
  const from = (path: string): string => relative(process.cwd(), path);
  const run = `node ${from(MAIN)} --no-env-file`;
  const { address, uiUrl, namespace } = settings.temporal;
  return [
    '',
    `  It runs on until Ctrl-C. Look at it in Temporal's UI:`,
    `    ${screen.paint.cyan(`${uiUrl ?? ''}/namespaces/${namespace}/workflows`)}`,
    `  or from another terminal:`,
    `    export PG2CLICK_STACK_FILE=${from(stackFile)} PG2CLICK_PIPELINE=${PIPELINE}`,
    `    ${run} status --watch`,
    `    ${run} pause flights`,
    `    ${run} resume flights`,
    `    temporal workflow list --address ${address}`,
    `  ${screen.paint.dim(`Addresses and passwords of the servers are in ${from(stackFile)}.`)}`,
  ];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
