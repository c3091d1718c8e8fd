import { Option, type Command } from 'commander';
import { given } from '../domain/given.js';
import type { LayoutOptions } from '../domain/target-layout.js';

/** Adds the options that say how the ClickHouse table is stored. */
export function withTargetOptions(command: Command): Command {
  const options = [
    new Option(
      '--order-by <expressions>',
      'what the ClickHouse table is ordered by, in its SQL: all columns of the key, in any order (default: the key)',
    ),
    new Option('--partition-by <expression>', 'what it is partitioned by: columns of the key, e.g. toYYYYMM(day)'),
    new Option('--ttl <expression>', 'when its rows are deleted, e.g. "day + interval 1 year"; not in PostgreSQL'),
    new Option(
      '--cluster <name>',
      'make it on each server of this cluster, as replicas; not tried on a real cluster yet',
    ),
    new Option('--constant-ttl', 'no UPDATE changes what --ttl is of a row: needed for columns outside of the key'),
  ];
  for (const option of options) command.addOption(option);
  return command;
}

/** Those that were given. */
export function targetOptionsOf({ orderBy, partitionBy, ttl, constantTtl, cluster }: LayoutOptions): LayoutOptions {
  return given({ orderBy: orderBy?.trim(), partitionBy: partitionBy?.trim(), ttl: ttl?.trim(), constantTtl, cluster });
}
