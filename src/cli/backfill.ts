import { Command, Option } from 'commander';
import { priorityOption } from './priority-option.js';
import { lazily } from './session.js';

export function backfillCommand(): Command {
  return new Command('backfill')
    .summary('read rows of a table again')
    .description(
      'Reads rows from PostgreSQL again, once, beside the live flow, into the table that is there: it repairs what is missing or wrong. ' +
        'Rows that change meanwhile win. With --prune rows that PostgreSQL does not have any more are deleted in ClickHouse.',
    )
    .argument('<table>')
    .option('--from <key>', 'the first key: 120, or ["eu", 120] for a key of several columns; the lowest by default')
    .option('--to <key>', 'the first key behind the last one; the highest by default')
    .addOption(
      new Option(
        '--where <condition>',
        'in place of a range: a condition in SQL on the columns of the table',
      ).conflicts(['from', 'to']),
    )
    .option('--prune', 'delete rows of the range that PostgreSQL does not have any more')
    .option('--loader <name>', 'whose target; the first one by default')
    .addOption(priorityOption('default: that of the table'))
    .option('--cancel', 'end a backfill; what it has written stays')
    .option('--backfill <id>', 'with --cancel, where several run: backfill:1')
    .option('--no-wait', 'do not wait for its end')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  pg2click backfill shop.orders --from 1000 --to 2000 --prune
  pg2click backfill shop.orders --where "created_at >= '2026-01-01'"
  pg2click backfill shop.orders --prune
  pg2click backfill shop.orders --cancel`,
    )
    .action(lazily(async () => (await import('./backfill-table.js')).backfillTable));
}
