import { Command } from 'commander';
import { readMilliseconds } from './milliseconds.js';
import { parseColumnNames } from '../domain/table-name.js';
import { withColumnOptions } from './column-options.js';
import { priorityOption } from './priority-option.js';
import { withRouteOptions } from './route-options.js';
import { withTargetOptions } from './target-options.js';
import { lazily } from './session.js';

export function addCommand(): Command {
  const add = new Command('add')
    .summary('replicate tables')
    .description(
      'Replicates tables: their rows are copied to ClickHouse, and every change follows. A table is looked at first; one ' +
        'that cannot be replicated is refused, and nothing is changed. Several tables are shown before any is added. Those ' +
        'that are replicated already are left alone.',
    )
    .argument(
      '<table...>',
      "orders, shop.orders, '\"My Shop\".\"Orders\"' with quotes for capitals, or a pattern: 'shop.*', 'order_?'",
    )
    .option('--exclude <pattern>', 'leave these out; may be given again', collect)
    .option('-y, --yes', 'add several tables without asking')
    .option('--dry-run', 'show what would be added, and add nothing')
    .option(
      '--key <columns>',
      'columns of a unique index, separated by commas, instead of the primary key',
      parseColumnNames,
    );
  return withTargetOptions(withColumnOptions(withRouteOptions(add)))
    .option('--where <condition>', 'replicate only rows for which this is true, e.g. "tenant_id = 7 and not test"')
    .option('--cursor <column>', 'poll, notify: the column whose numbers only grow (default: the key)')
    .option('--channel <name>', 'notify: the channel of a trigger of yours (default: a trigger of ours)')
    .option('--interval <ms>', 'poll, notify: the longest pause between two looks', readMilliseconds)
    .option('--topic <name>', 'Kafka topic (default: <pipeline>.<schema>.<table>)')
    .option(
      '--target <table>',
      'ClickHouse table or database.table (default: the name of the table, after its schema unless that is public)',
    )
    .addOption(priorityOption('default: normal; among equals the smallest table goes first'))
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
  pg2click add 'shop.*' 'public.order_*' --exclude 'shop.tmp_*' --yes
  pg2click add shop.order_lines --key order_id,line --target shop.lines
  pg2click add '"Orders"' --format packed --no-wait --json
  pg2click add orders --transport direct
  pg2click add orders --type total='Decimal(18, 4)' --policy total=refuse --exclude-column notes
  pg2click add orders --where "tenant_id = 7 and not test"
  pg2click add orders --rename-column id=orderId --rename-column '"Order Date"=orderDate'
  pg2click add measurements --capture poll --engine merge-tree
  pg2click add lines --order-by 'line, order_id' --partition-by 'intDiv(order_id, 1000000)' --codec total=ZSTD(3)`,
    )
    .action(lazily(async () => (await import('./add-tables.js')).addTables));
}

function collect(pattern: string, before: readonly string[] = []): readonly string[] {
  return [...before, pattern];
}
