import { Command, Option } from 'commander';
import { MESSAGE_FORMATS } from '../domain/route.js';
import { lazily } from './session.js';

export function addCommand(): Command {
  return new Command('add')
    .summary('replicate a table')
    .description(
      'Replicates a table: its rows are copied to ClickHouse, and every change follows. The table is looked at first; one ' +
        'that cannot be replicated is refused, and nothing is changed.',
    )
    .argument('<table>', 'orders, shop.orders, or \'"My Shop"."Orders"\' with quotes for capitals')
    .option(
      '--key <columns>',
      'columns of a unique index, separated by commas, instead of the primary key',
      readColumns,
    )
    .option('--topic <name>', 'Kafka topic (default: <pipeline>.<schema>.<table>)')
    .option(
      '--target <table>',
      'ClickHouse table or database.table (default: the name of the table, after its schema unless that is public)',
    )
    .addOption(new Option('--format <format>', 'of the messages in Kafka').choices(MESSAGE_FORMATS))
    .option(
      '--no-wait',
      'end once the workflow is started, whether a worker runs or not, instead of showing the first load',
    )
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  pg2click add orders
  pg2click add shop.order_lines --key order_id,line --target shop.lines
  pg2click add '"Orders"' --format packed --no-wait --json`,
    )
    .action(lazily(async () => (await import('./add-table.js')).addTable));
}

function readColumns(written: string): readonly string[] {
  return written.split(',').map((column) => column.trim());
}
