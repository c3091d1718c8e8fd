import { Command } from 'commander';
import { readMilliseconds } from './milliseconds.js';
import { withRefusedOptions } from './refuse-target-options.js';
import { withRouteOptions } from './route-options.js';
import { lazily } from './session.js';

export function configureCommand(): Command {
  const configure = new Command('configure')
    .summary('change how the rows of a table travel, while it runs')
    .description(
      'Changes the way of the rows of a replicated table: what captures the changes, what carries them. What is not given ' +
        'stays as it is. Nothing is lost and nothing comes back; what cannot be changed is refused, and the table goes on.',
    )
    .argument('<table>');
  return withRefusedOptions(withRouteOptions(configure))
    .option('--cursor <column>', 'poll, notify: the column whose numbers only grow (default: the key)')
    .option('--channel <name>', 'notify: the channel of a trigger of yours (default: a trigger of ours)')
    .option('--interval <ms>', 'poll, notify: the longest pause between two looks', readMilliseconds)
    .option('--topic <name>', 'Kafka topic, for a table that has none yet')
    .option(
      '--append-only',
      'rows of this table are never updated nor deleted: needed to go from outbox to poll or notify',
    )
    .option('--dry-run', 'say what would happen, and change nothing')
    .option('--no-wait', 'end once it is accepted, instead of showing how it goes')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  pg2click configure orders --transport direct
  pg2click configure shop.orders --format packed
  pg2click configure measurements --capture outbox --transport kafka --dry-run`,
    )
    .action(lazily(async () => (await import('./configure-table.js')).configureTable));
}
