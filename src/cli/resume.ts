import { Command } from 'commander';
import { parseTableName } from '../domain/table-name.js';
import { request } from './request.js';
import { runCommand } from './session.js';

export function resumeCommand(): Command {
  return new Command('resume')
    .summary('let a paused or parked table go on')
    .description('Ends a pause, and tries again what a failure parked, from where it stood.')
    .argument('<table>')
    .option('--json', 'print the answer as one JSON object')
    .addHelpText('after', `\nExample:\n  pg2click resume shop.orders`)
    .action((table: string, _options: object, command: Command) =>
      runCommand(command, (session) => request(session, parseTableName(table), { action: 'resume', message: {} })),
    );
}
