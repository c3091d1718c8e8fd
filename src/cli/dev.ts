import { dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { port } from '../settings/value-kind.js';
import type { DevOptions } from './dev-tools.js';
import type { Exit } from './exit-code.js';
import { runCommand, type Session } from './session.js';

interface DevFlags {
  readonly reset?: boolean;
  readonly secure?: boolean;
  /** False with `--no-kafka`. */
  readonly kafka: boolean;
  readonly registry?: boolean;
  readonly postgresPort?: number;
  readonly kafkaPort?: number;
  readonly clickhousePort?: number;
  readonly temporalPort?: number;
  readonly uiPort?: number;
}

const STACK_FOLDER = '.pg2click/dev';

export function devCommand(): Command {
  return new Command('dev')
    .summary('run PostgreSQL, Kafka, ClickHouse and Temporal on this machine')
    .description(
      'Starts real servers for trying out, without Docker, and stays in the foreground; Ctrl-C stops what it started. Their ' +
        `state is kept in ${STACK_FOLDER}, and every other command finds them there. A server whose address is set is used instead.`,
    )
    .option('--reset', 'start with empty servers')
    .option('--secure', 'over TLS only, with certificates of its own, and a Kafka that asks for a user')
    .option('--no-kafka', 'without Kafka, and so without Java and Maven: tables go directly (--transport direct)')
    .option('--registry', 'with a schema registry, for messages in Avro')
    .option('--postgres-port <port>', 'instead of a free one', readPort)
    .option('--kafka-port <port>', 'instead of a free one', readPort)
    .option('--clickhouse-port <port>', 'instead of a free one', readPort)
    .option('--temporal-port <port>', 'instead of a free one', readPort)
    .option('--ui-port <port>', "of Temporal's web UI, instead of a free one", readPort)
    .addHelpText(
      'after',
      `\nExamples:\n  pg2click dev\n  pg2click dev --reset --ui-port 8233\n  pg2click dev --no-kafka`,
    )
    .action((flags: DevFlags, command: Command) =>
      runCommand(command, (session) => dev(session, flags), { ownSignals: true, readsStack: false }),
    );
}

async function dev({ settings }: Session, flags: DevFlags): Promise<Exit> {
  const { loadDevTools } = await import('./dev-tools.js');
  const { runDev } = await loadDevTools();
  const ports: DevOptions['ports'] = {
    postgres: flags.postgresPort,
    kafka: flags.kafkaPort,
    clickhouse: flags.clickhousePort,
    temporal: flags.temporalPort,
    temporalUi: flags.uiPort,
  };
  const file = settings.stackFile;
  await runDev({
    stateDir: file === undefined ? resolve(STACK_FOLDER) : dirname(resolve(file)),
    reset: flags.reset ?? false,
    secure: flags.secure ?? false,
    kafka: flags.kafka,
    registry: flags.registry ?? false,
    ports,
    settings,
  });
  return 'done';
}

function readPort(written: string): number {
  const read = port.schema.safeParse(written);
  if (read.success) return read.data;
  throw new InvalidArgumentError(`Expected ${port.expected}.`);
}
