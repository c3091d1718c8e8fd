import { Command, InvalidArgumentError } from 'commander';
import type { DemoEnding } from './dev-tools.js';
import type { Exit } from './exit-code.js';
import { routeOptionsOf, withRouteOptions, type RouteOptions } from './route-options.js';
import { runCommand } from './session.js';

interface DemoFlags extends RouteOptions {
  readonly keep?: boolean;
  readonly seconds: number;
  readonly json?: boolean;
}

export function demoCommand(): Command {
  const demoing = new Command('demo')
    .summary('watch it work, and survive, on this machine')
    .description(
      'Starts servers and a worker of its own, loads real data, changes it, kills and stops things, and compares every row ' +
        'on both sides at the end. It reads no settings and touches nothing of yours. Exit code 0 only if all rows are equal.',
    )
    .option('--seconds <number>', 'how long the live writer runs', readSeconds, 20)
    .option('--keep', "leave everything running at the end, for a look at Temporal's UI");
  return withRouteOptions(demoing)
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `\nExamples:\n  pg2click demo\n  pg2click demo --seconds 60 --keep
  pg2click demo --transport direct
  pg2click demo --capture poll --engine merge-tree`,
    )
    .action((flags: DemoFlags, command: Command) =>
      runCommand(command, () => demo(flags), { ownSignals: true, isolated: true }),
    );
}

const EXITS: Readonly<Record<DemoEnding, Exit>> = { verified: 'done', different: 'failed', interrupted: 'interrupted' };

async function demo({ keep = false, seconds, json = false, ...flags }: DemoFlags): Promise<Exit> {
  const { loadDevTools } = await import('./dev-tools.js');
  const { runDemo } = await loadDevTools();
  return EXITS[await runDemo({ keep, seconds, json, route: routeOptionsOf(flags) })];
}

function readSeconds(written: string): number {
  const seconds = Number(written);
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('Expected a whole number of seconds from 1 to 86400.');
}
