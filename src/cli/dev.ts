import { dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { PARTS, type PortName, type StackAddresses } from '../../dev/stack/part.js';
import { port } from '../settings/value-kind.js';
import type { Settings } from '../settings/settings.js';
import type { Exit } from './exit-code.js';
import { runCommand, type Session } from './session.js';

interface DevOptions {
  readonly reset?: boolean;
  readonly secure?: boolean;
  readonly postgresPort?: number;
  readonly kafkaPort?: number;
  readonly clickhousePort?: number;
  readonly temporalPort?: number;
  readonly uiPort?: number;
}

export const STACK_FOLDER = '.pg2click/dev';

export function devCommand(): Command {
  return new Command('dev')
    .summary('run PostgreSQL, Kafka, ClickHouse and Temporal on this machine')
    .description(
      'Starts real servers for trying out, without Docker, and stays in the foreground; Ctrl-C stops what it started. Their ' +
        `state is kept in ${STACK_FOLDER}, and every other command finds them there. A server whose address is set is used instead.`,
    )
    .option('--reset', 'start with empty servers')
    .option('--secure', 'over TLS only, with certificates of its own, and a Kafka that asks for a user')
    .option('--postgres-port <port>', 'instead of a free one', readPort)
    .option('--kafka-port <port>', 'instead of a free one', readPort)
    .option('--clickhouse-port <port>', 'instead of a free one', readPort)
    .option('--temporal-port <port>', 'instead of a free one', readPort)
    .option('--ui-port <port>', "of Temporal's web UI, instead of a free one", readPort)
    .addHelpText('after', `\nExamples:\n  pg2click dev\n  pg2click dev --reset --ui-port 8233`)
    .action((options: DevOptions, command: Command) =>
      runCommand(command, (session) => dev(session, options), { ownSignals: true, readsStack: false }),
    );
}

async function dev({ settings }: Session, options: DevOptions): Promise<Exit> {
  const { runDev } = await import('../../dev/stack/dev.js');
  const ports: Partial<Record<PortName, number>> = {};
  for (const [name, given] of [
    ['postgres', options.postgresPort],
    ['kafka', options.kafkaPort],
    ['clickhouse', options.clickhousePort],
    ['temporal', options.temporalPort],
    ['temporalUi', options.uiPort],
  ] as const)
    if (given !== undefined) ports[name] = given;
  const file = settings.where.PG2CLICK_STACK_FILE === undefined ? undefined : process.env['PG2CLICK_STACK_FILE'];
  await runDev({
    stateDir: file === undefined ? resolve(STACK_FOLDER) : dirname(resolve(file)),
    reset: options.reset ?? false,
    secure: options.secure ?? false,
    ports,
    external: externalParts(settings),
  });
  return 'done';
}

/** The servers whose address the user wrote. */
export function externalParts(settings: Settings): Partial<StackAddresses> {
  const { postgres, kafka, clickhouse, temporal } = settings;
  const addresses: StackAddresses = {
    postgres: { ...postgres, password: postgres.password.reveal() },
    kafka: { bootstrap: kafka.brokers.join(',') },
    clickhouse: { ...clickhouse, password: clickhouse.password.reveal() },
    temporal: { address: temporal.address, namespace: temporal.namespace, uiUrl: temporal.uiUrl ?? '' },
  };
  return Object.fromEntries(
    PARTS.filter((part) => settings.parts[part] === 'written').map((part) => [part, addresses[part]]),
  );
}

function readPort(written: string): number {
  const read = port.schema.safeParse(written);
  if (read.success) return read.data;
  throw new InvalidArgumentError(`Expected ${port.expected}.`);
}
