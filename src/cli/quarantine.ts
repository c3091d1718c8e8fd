import { Command } from 'commander';
import { lazily } from './session.js';

export function quarantineCommand(): Command {
  const quarantine = new Command('quarantine')
    .summary('rows that ClickHouse refuses')
    .description(
      'Rows that ClickHouse refuses are set aside, and their table goes on. A correction in PostgreSQL clears them by itself: the next ' +
        'version of the row takes the place of the one that was refused.',
    )
    .addHelpText(
      'after',
      `
Examples:
  pg2click quarantine list
  pg2click quarantine show shop.orders 12
  pg2click quarantine retry shop.orders
  pg2click quarantine drop shop.orders 12 13`,
    );
  for (const command of [list(), show(), retry(), drop()])
    quarantine.addCommand(command.copyInheritedSettings(quarantine));
  return quarantine;
}

function list(): Command {
  return new Command('list')
    .summary('show which rows are set aside, and why')
    .description(
      'Shows rows that are set aside, of a table or of all: where each came from, and its column. No value of a row.',
    )
    .argument('[table]')
    .option('--all', 'also those that are closed')
    .option('--json', 'print one JSON object')
    .action(lazily(async () => (await import('./show-quarantine.js')).listRows));
}

function show(): Command {
  return new Command('show')
    .summary('show one row with its values')
    .description('Shows one row that is set aside, with its key and its bytes as they were sent to ClickHouse.')
    .argument('<table>')
    .argument('<id>', 'the number that list shows')
    .option('--json', 'print one JSON object')
    .action(lazily(async () => (await import('./show-quarantine.js')).showRow));
}

function retry(): Command {
  return new Command('retry')
    .summary('insert rows again')
    .description(
      'Inserts rows that are set aside again, for example after the ClickHouse table was altered. Rows of a table that only grows are ' +
        'read from PostgreSQL again; the others are inserted as they were sent, under their own versions.',
    )
    .argument('<table>')
    .argument('[ids...]', 'the numbers that list shows; all by default')
    .option('--json', 'print the result as one JSON object')
    .action(lazily(async () => (await import('./change-quarantine.js')).retryRows));
}

function drop(): Command {
  return new Command('drop')
    .summary('do without rows')
    .description('Gives rows up that are set aside: ClickHouse stays without them until they change in PostgreSQL.')
    .argument('<table>')
    .argument('[ids...]', 'the numbers that list shows')
    .option('--all', 'all that are open')
    .option('--json', 'print the result as one JSON object')
    .action(lazily(async () => (await import('./change-quarantine.js')).dropRows));
}
