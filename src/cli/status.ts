import { Command } from 'commander';
import { lazily } from './session.js';

export function statusCommand(): Command {
  return new Command('status')
    .summary('show where the tables stand')
    .description(
      'Shows every table of the pipeline, or one in detail: phase, rows, what waits, lag, and what holds it up. It asks the ' +
        'ledger and Temporal first, then the workflow; it works without a worker too, and says so.',
    )
    .argument('[table]', 'one table, in detail')
    .option('-w, --watch', 'keep looking, every second, until Ctrl-C')
    .option('--json', 'print one JSON object (with --watch one a line)')
    .addHelpText(
      'after',
      `
Exit code 0 when every table is well or paused, 4 when one is parked or retried, or no worker answers.

Examples:
  pg2click status
  pg2click status shop.orders --watch
  pg2click status --json | jq '.tables[] | select(.phase == "parked")'`,
    )
    .action(lazily(async () => (await import('./show-status.js')).showStatus));
}
