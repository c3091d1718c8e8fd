import { Command, Option, type CommanderError } from 'commander';
import { readVersion } from '../package-root.js';
import { describeSettings } from '../settings/describe.js';
import { addCommand } from './add.js';
import { configureCommand } from './configure.js';
import { demoCommand } from './demo.js';
import { devCommand } from './dev.js';
import { EXIT_CODES, exitCode } from './exit-code.js';
import { initCommand } from './init.js';
import { loaderCommand } from './loader.js';
import { pauseCommand } from './pause.js';
import { prioritizeCommand } from './prioritize.js';
import { quarantineCommand } from './quarantine.js';
import { removeCommand } from './remove.js';
import { backfillCommand } from './backfill.js';
import { resyncCommand } from './resync.js';
import { replayCommand } from './replay.js';
import { resumeCommand } from './resume.js';
import { printError } from './session.js';
import { statusCommand } from './status.js';
import { workerCommand } from './worker.js';

/** The whole command line, as `main.ts` runs it. */
export function createProgram(): Command {
  const program = new Command('pg2click')
    .description(
      'Keeps tables of PostgreSQL equal to tables of ClickHouse: every change goes through an outbox and Kafka, and Temporal ' +
        'drives it. Nothing is lost when a process or a server dies.',
    )
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help on a command')
    .option('--settings <file>', 'read settings from this file instead of .env')
    // Node 20 itself takes this name out of the arguments and ends where the file is missing: understood, not advertised.
    .addOption(new Option('--env-file <file>').hideHelp())
    .option('--no-env-file', 'read settings from the environment only')
    .showSuggestionAfterError(true)
    .configureHelp({ helpWidth: 100, showGlobalOptions: false });
  const commands = [
    initCommand(),
    addCommand(),
    statusCommand(),
    pauseCommand(),
    resumeCommand(),
    configureCommand(),
    removeCommand(),
    loaderCommand(),
    replayCommand(),
    backfillCommand(),
    resyncCommand(),
    prioritizeCommand(),
    quarantineCommand(),
    workerCommand(),
    devCommand(),
    demoCommand(),
  ];
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  program.addHelpText('after', () => `\n${EXAMPLES}\n\n${exitCodes()}\n\n${describeSettings()}`);
  // Commander would call process.exit(1) itself: wrong usage has a code of its own here.
  for (const each of [program, ...commands, ...commands.flatMap(({ commands: nested }) => nested)])
    each.exitOverride(end);
  return program;
}

const EXAMPLES = `Examples:
  pg2click demo                    watch it work on this machine; nothing else is needed
  pg2click dev                     servers for trying out, until Ctrl-C
  pg2click init                    check and prepare the servers that the settings name
  pg2click worker                  the process that moves the rows
  pg2click add shop.orders         replicate a table
  pg2click status --watch          see how it goes`;

function exitCodes(): string {
  const lines = Object.values(EXIT_CODES).map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`);
  return ['Exit codes:', ...lines].join('\n');
}

/** Commander has written what is wrong, or the help, by now. */
function end({ exitCode: status, code, message }: CommanderError): never {
  if (status === 0) process.exit(0);
  // The parser stopped before it had read all options.
  if (code !== 'commander.help' && process.argv.includes('--json')) {
    const [problem = '', hint] = message.replace(/^error: /u, '').split('\n');
    printError({ kind: 'Misconfigured', message: problem, remedy: hint?.replace(/^\((.*)\)$/u, '$1') });
  }
  process.exit(exitCode('usage'));
}
