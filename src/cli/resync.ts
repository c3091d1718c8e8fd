import { Command } from 'commander';
import { priorityOption } from './priority-option.js';
import { lazily } from './session.js';

export function resyncCommand(): Command {
  return new Command('resync')
    .summary('fill a fresh ClickHouse table and put it in the place of the old one')
    .description(
      'Makes an empty table like the live one, reads all rows from PostgreSQL into it, writes live changes to both, and exchanges the two. ' +
        'Until then readers see the old table as it is, and afterwards the new one; at no time a table that is half full.',
    )
    .argument('<table>')
    .option('--loader <name>', 'whose target; the first one by default')
    .option('--keep <time>', 'rename the old table to <table>__r<number>_old and drop it later: 12h, 7d, or forever')
    .addOption(priorityOption('default: that of the table'))
    .option('--drop-kept', 'drop the old table that is kept, now')
    .option('--keep-longer <time>', 'keep the old table for this time from now on: 12h, 7d, or forever')
    .option('--kept <name>', 'with --drop-kept and --keep-longer, where several are kept: orders__r1_old')
    .option('--cancel', 'end a resync; the live table stays as it is')
    .option('--no-wait', 'do not wait for its end')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  pg2click resync shop.orders
  pg2click resync shop.orders --keep 7d
  pg2click resync shop.orders --drop-kept
  pg2click resync shop.orders --cancel`,
    )
    .action(lazily(async () => (await import('./resync-table.js')).resyncTable));
}
