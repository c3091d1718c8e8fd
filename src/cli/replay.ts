import { Command } from 'commander';
import { lazily } from './session.js';

export function replayCommand(): Command {
  return new Command('replay')
    .summary('load a range of the topic of a table again')
    .description(
      'Loads messages of the topic again, once, beside the live flow. In the live table older rows lose against those that are there: ' +
        'it repairs a table that lost rows. With --into it fills a fresh table, with a copy of PostgreSQL, so that it is equal at the end.',
    )
    .argument('<table>')
    .option(
      '--from <place>',
      'beginning, an offset (120), offsets by partition (0:120,1:98), or a time (2026-01-31T12:00:00Z)',
    )
    .option('--to <place>', 'likewise; what is in the topic now by default')
    .option('--loader <name>', 'whose target, and whose ClickHouse server; the first one by default')
    .option('--into <table>', 'a fresh table, table or database.table, instead of the live one')
    .option(
      '--topic-only',
      'with --into: no copy; the table holds what the topic holds, and lacks rows that did not change since',
    )
    .option('--cancel', 'end a replay; what it has written stays')
    .option('--replay <id>', 'with --cancel, where several run: replay:1')
    .option('--no-wait', 'do not wait for its end')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  pg2click replay shop.orders --from beginning
  pg2click replay shop.orders --from 2026-01-31T12:00:00Z --loader eu
  pg2click replay shop.orders --from beginning --into orders_new
  pg2click replay shop.orders --cancel`,
    )
    .action(lazily(async () => (await import('./replay-table.js')).replayTable));
}
