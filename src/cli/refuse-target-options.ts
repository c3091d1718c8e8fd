import { Option, type Command } from 'commander';
import { shellName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';

/** Options of `add` that say how the ClickHouse table is stored. */
export interface StoredOptions {
  readonly orderBy?: string;
  readonly partitionBy?: string;
  readonly ttl?: string;
  readonly cluster?: string;
  readonly constantTtl?: boolean;
  readonly codec?: string;
  readonly lowCardinality?: string;
}

/** Takes them, not shown in the help, so that they are refused with the way out, and not as unknown. */
export function withRefusedOptions(command: Command): Command {
  for (const flags of [
    '--order-by <expressions>',
    '--partition-by <expression>',
    '--ttl <expression>',
    '--cluster <name>',
    '--constant-ttl',
    '--codec <column=codec>',
    '--low-cardinality <columns>',
  ])
    command.addOption(new Option(flags).hideHelp());
  return command;
}

/** @throws Failure `Misconfigured`: how a table that is there is stored, this command changes not */
export function refuseTargetOptions(name: TableName, given: StoredOptions): void {
  const { orderBy, partitionBy, cluster, ttl, constantTtl, codec, lowCardinality } = given;
  const remove = `pg2click remove ${shellName(name)}`;
  const refuse = (message: string, remedy: string): never => {
    throw new Failure('Misconfigured', { message, remedy });
  };
  if (orderBy !== undefined || partitionBy !== undefined || cluster !== undefined)
    refuse(
      'ClickHouse does not change the sorting key, the partitions or the replication of a table that is there.',
      `Run ${remove} --drop-target, then add it with the options that it shall have: it is copied again.`,
    );
  if (ttl !== undefined || constantTtl !== undefined)
    refuse(
      'The TTL of a table that is replicated is not changed by this command: its view has it too.',
      `Run ${remove}, then add it with the --ttl that it shall have: it is copied again, and what ClickHouse has to be told is printed.`,
    );
  if (codec !== undefined || lowCardinality !== undefined)
    refuse(
      'This command does not change columns of the ClickHouse table.',
      'Run in ClickHouse: alter table TABLE modify column COLUMN codec(..), or modify column COLUMN LowCardinality(String). ' +
        'The table goes on meanwhile, and keeps it in a resync.',
    );
}
