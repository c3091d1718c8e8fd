import { Command } from 'commander';
import { lazily } from './session.js';

export function pauseCommand(): Command {
  return new Command('pause')
    .summary('stop moving a table for a while')
    .description(
      'Pauses a table: what runs finishes the batch in hand and stops. Changes wait where they are; nothing is ' +
        'lost, and the outbox grows.',
    )
    .argument('<table>')
    .option('--reason <text>', 'shown with the pause')
    .option('--json', 'print the answer as one JSON object')
    .addHelpText('after', `\nExample:\n  pg2click pause shop.orders --reason "ClickHouse upgrade"`)
    .action(lazily(async () => (await import('./request.js')).pauseTable));
}
