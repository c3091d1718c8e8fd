import { Command } from 'commander';
import { lazily } from './session.js';

export function resumeCommand(): Command {
  return new Command('resume')
    .summary('let a paused or parked table go on')
    .description('Ends a pause, and tries again what a failure parked, from where it stood.')
    .argument('<table>')
    .option('--json', 'print the answer as one JSON object')
    .addHelpText('after', `\nExample:\n  pg2click resume shop.orders`)
    .action(lazily(async () => (await import('./request.js')).resumeTable));
}
