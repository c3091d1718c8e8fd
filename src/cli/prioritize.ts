import { Argument, Command } from 'commander';
import { COPY_PRIORITIES } from '../domain/copy-priority.js';
import { lazily } from './session.js';

export function prioritizeCommand(): Command {
  return new Command('prioritize')
    .summary('let the copies of a table go before others, or after them')
    .description(
      'Changes the priority of the copies of a table: of its first load, its backfills and its resync, of those that wait or run and of ' +
        'later ones. A worker gives its connections for copies (PG2CLICK_COPIES) to the highest priority first.',
    )
    .argument('<table>')
    .addArgument(new Argument('<priority>', 'high, normal or low').choices(COPY_PRIORITIES))
    .option('--json', 'print the result as one JSON object')
    .action(lazily(async () => (await import('./prioritize-table.js')).prioritizeTable));
}
