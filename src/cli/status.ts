import { Command, Option } from 'commander';
import type { TableView } from '../control/table-view.js';
import { lazily } from './session.js';

const PHASES = [
  'preparing',
  'copying',
  'streaming',
  'configuring',
  'paused',
  'parked',
  'stopped',
  'removing',
  'unknown',
] as const satisfies readonly TableView['phase'][];

export function statusCommand(): Command {
  return new Command('status')
    .summary('show where the tables stand')
    .description(
      'Shows every table of the pipeline, or one in detail: phase, rows, what waits, lag, and what holds it up. It asks the ' +
        'ledger and Temporal first, then the workflow; it works without a worker and without Temporal too, and says so. Tables in ' +
        'trouble come first.',
    )
    .argument('[table]', 'one table, in detail')
    .option('--trouble', 'only tables that are parked, stopped, retried or without a worker')
    .addOption(new Option('--phase <phase>', 'only tables of this phase').choices(PHASES))
    .option('-w, --watch', 'keep looking, every second, until Ctrl-C')
    .option('--json', 'print one JSON object (with --watch one a line)')
    .addHelpText(
      'after',
      `
Exit code 0 when every table that is shown is well or paused, 4 when one is parked, detached or retried, or no worker answers, 3 when a
server does not answer; without Temporal the figures of the ledger are shown all the same.

Examples:
  pg2click status
  pg2click status --trouble
  pg2click status shop.orders --watch
  pg2click status --json | jq '.tables[] | select(.phase == "parked")'`,
    )
    .action(lazily(async () => (await import('./show-status.js')).showStatus));
}
