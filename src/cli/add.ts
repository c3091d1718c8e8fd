import { Command, InvalidArgumentError, Option } from 'commander';
import { ENGINES, LOADER_KINDS, MESSAGE_FORMATS, PAYLOADS, TRANSPORTS } from '../domain/route.js';
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
    .option(
      '--capture <capture>',
      'how changes are seen: outbox (triggers; every change), poll or notify (tables that only grow)',
    )
    .addOption(
      new Option('--transport <transport>', 'kafka, or direct into ClickHouse (default for poll and notify)').choices(
        TRANSPORTS,
      ),
    )
    .addOption(
      new Option('--loader <loader>', 'who inserts what is in Kafka: worker, or ClickHouse itself').choices(
        LOADER_KINDS,
      ),
    )
    .addOption(
      new Option('--payload <payload>', 'what a message holds: row, or key (the loader reads the row)').choices(
        PAYLOADS,
      ),
    )
    .addOption(
      new Option(
        '--engine <engine>',
        'of the ClickHouse table: replacing, or merge-tree for a table that only grows',
      ).choices(ENGINES),
    )
    .option('--cursor <column>', 'poll, notify: the column whose numbers only grow (default: the key)')
    .option('--channel <name>', 'notify: the channel of a trigger of yours (default: a trigger of ours)')
    .option('--interval <ms>', 'poll, notify: the longest pause between two looks', readMilliseconds)
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
  pg2click add '"Orders"' --format packed --no-wait --json
  pg2click add orders --transport direct
  pg2click add measurements --capture poll --engine merge-tree`,
    )
    .action(lazily(async () => (await import('./add-table.js')).addTable));
}

function readMilliseconds(written: string): number {
  const value = Number(written);
  if (Number.isInteger(value) && value >= 10 && value <= 3_600_000) return value;
  throw new InvalidArgumentError('Give milliseconds, from 10 to 3600000.');
}

function readColumns(written: string): readonly string[] {
  return written.split(',').map((column) => column.trim());
}
