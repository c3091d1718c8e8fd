import { writeFileSync } from 'node:fs';
import chalk from 'chalk';
import { Command } from 'commander';
import { taskQueuesOf } from '../domain/deployment.js';
import type { ServerName } from '../settings/server-name.js';
import type { Settings } from '../settings/settings.js';
import { renderEnvFile } from '../settings/env-template.js';

import { exitOf, type Exit } from './exit-code.js';
import type { neededQueues as NeededQueuesOf } from '../control/workers.js';
import type { ServerCheck } from './check-servers.js';
import { envFileOf, runCommand, type GlobalOptions, type Session } from './session.js';

type NeededQueues = typeof NeededQueuesOf;

export function initCommand(): Command {
  return new Command('init')
    .summary('check the four servers and make them ready')
    .description(
      'Writes a commented .env where there is none and nothing is configured, checks PostgreSQL, Kafka, ClickHouse and ' +
        "Temporal, creates the ledger (schema pg2click) and registers Temporal's search attributes. Harmless to run again.",
    )
    .option('--json', 'print the checks as one JSON object')
    .addHelpText('after', `\nExamples:\n  pg2click init\n  pg2click init --settings production.env`)
    .action((_options: object, command: Command) =>
      runCommand(command, (session) => init(session, command.optsWithGlobals<GlobalOptions>())),
    );
}

async function init(session: Session, global: GlobalOptions): Promise<Exit> {
  const wrote = envFileOf(global) === undefined && writeEnvFile(session);
  const [{ checkServers }, { neededQueues }] = await Promise.all([
    import('./check-servers.js'),
    import('../control/workers.js'),
  ]);
  const checks = await checkServers(session, {
    prepare: true,
    report: (check) => {
      if (!session.json) session.print(lineOf(check, session.settings));
    },
  });
  const deployment = checks.find((check) => check.deployment !== undefined)?.deployment;
  const moved = checks.flatMap((check) => check.moved ?? []);
  const [failed] = checks.filter((check) => check.error !== undefined);
  if (session.json) {
    session.print(
      JSON.stringify({
        ready: failed === undefined,
        wroteEnvFile: wrote,
        deployment: deployment ?? null,
        taskQueue: deployment === undefined ? null : taskQueuesOf(deployment.id).workflow,
        moved,
        servers: checks.map(({ server, address, told, error, lack }) => ({
          server,
          address,
          ok: error === undefined,
          told,
          warning: lack?.message ?? null,
          remedy: (error ?? lack)?.remedy ?? null,
        })),
      }),
    );
  } else if (failed === undefined) {
    if (moved.length > 0)
      session.tell(
        `\nMoved from an older release: the workflows of ${moved.join(', ')} go on in this one, where they were.`,
      );
    session.tell(`\nReady. Next:\n${nextCommands(checks, neededQueues)}`);
  }
  return failed === undefined ? 'done' : exitOf(failed.error);
}

/** The commands that lead to a table that runs. Without Kafka tables go directly, and need no consumer. */
function nextCommands(checks: readonly ServerCheck[], neededQueues: NeededQueues): string {
  const workers = checks.find((check) => check.workers !== undefined)?.workers;
  const isDirect = checks.some(({ isAbsent }) => isAbsent === true);
  const missing = neededQueues(isDirect ? [{ queue: 'producer' }] : []).filter(
    (queue) => (workers?.[queue] ?? 0) === 0,
  );
  const role = missing.join() === 'consumer' ? ' --role consumer' : '';
  return [
    ...(missing.length === 0 ? [] : [`  pg2click worker${role}   (it stays: in a terminal of its own)`]),
    `  pg2click add TABLE${isDirect ? ' --transport direct' : ''}`,
  ].join('\n');
}

/** Never over a file that is there, and not where everything is told by other means. */
function writeEnvFile(session: Session): boolean {
  const { origins } = session.settings;
  if (Object.values(origins).some((origin) => origin === 'written')) return false;
  try {
    writeFileSync('.env', renderEnvFile(), { flag: 'wx', mode: 0o600 });
  } catch {
    return false;
  }
  session.tell(`Wrote .env: every setting, commented out. Edit it, or start servers of your own with "pg2click dev".`);
  return true;
}

const NAMES: Readonly<Record<string, ServerName>> = {
  PostgreSQL: 'postgres',
  Kafka: 'kafka',
  ClickHouse: 'clickhouse',
  Temporal: 'temporal',
};
const ORIGINS = { written: '', stack: ', of the local stack', default: ', by default' } as const;

function lineOf({ server, address, told, error, isAbsent, lack }: ServerCheck, { origins }: Settings): string {
  const name = server.padEnd(10);
  const key = NAMES[server];
  const origin = key === undefined ? '' : ORIGINS[origins[key]];
  if (isAbsent === true) return `${chalk.dim('–')} ${name}  ${told}`;
  const note = lack === undefined ? '' : `\n${chalk.yellow('!')} ${lack.message}\n  ${chalk.dim('→')} ${lack.remedy}`;
  if (error === undefined) return `${chalk.green('✔')} ${name}  ${address}${origin}  ${chalk.dim(told)}${note}`;
  return `${chalk.red('✖')} ${name}  ${told}${error.remedy === undefined ? '' : `\n  ${chalk.dim('→')} ${error.remedy}`}`;
}
