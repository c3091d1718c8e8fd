import { Command } from 'commander';
import { lazily } from './session.js';

export function removeCommand(): Command {
  return new Command('remove')
    .summary('stop replicating a table for good')
    .description(
      'Ends the replication of a table: what captures its changes goes, and what was not loaded yet is not loaded any more. ' +
        'Its topic stays, until its retention empties it or somebody deletes it. The ClickHouse table stays, unless ' +
        '--drop-target is given.',
    )
    .argument('<table>')
    .option('--drop-target', 'drop the ClickHouse table, its floor and its view too, as far as pg2click made them')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `\nExamples:\n  pg2click remove shop.orders\n  pg2click remove shop.orders --drop-target --yes`,
    )
    .action(lazily(async () => (await import('./remove-table.js')).removeTable));
}
