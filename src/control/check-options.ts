import type { Client } from '@temporalio/client';
import type { TableAddress } from '../domain/receipt.js';
import { loaderNamed, type ReplicatedTable, type TableOptions } from '../domain/replicated-table.js';
import { formatTableName, shellName, workflowIdOf } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { readInput } from './read-input.js';

/** The options that a prepared table has. */
export function optionsOf({ key, route, ...table }: ReplicatedTable): TableOptions {
  const { target } = loaderNamed({ ...table, route });
  const { topic, format } = route.transport;
  return { key, topic, format, target: `${target.database}.${target.table}` };
}

/**
 * The options that a table's workflow was started with: what is known of a table that is not prepared yet.
 * @returns none where they cannot be read
 */
export async function requestedOptions(client: Client, table: TableAddress): Promise<TableOptions> {
  return (await readInput(client, { workflowId: workflowIdOf(table.pipeline, table) })).options ?? {};
}

/**
 * Refuses options that a table which was added before does not have: `add` changes none.
 * @param wanted only what was asked for counts
 * @throws Failure `UnsuitableTable`: one sentence that names each difference
 */
export function requireSameOptions(table: TableAddress, wanted: TableOptions, has: TableOptions): void {
  const differences = OPTIONS.flatMap((option) => {
    const [asked, known] = [textOf(wanted[option]), textOf(has[option])];
    if (asked === undefined || asked === known) return [];
    return [`its ${option} is ${known ?? 'the default one'}, not ${asked}`];
  });
  if (differences.length === 0) return;
  const title = formatTableName(table);
  throw new Failure('UnsuitableTable', {
    message: `${title} was added before, with other options: ${differences.join('; ')}.`,
    remedy: `Leave these options out to keep the table as it is. To change them run pg2click remove ${shellName(table)}, then add it again.`,
  });
}

const OPTIONS = ['key', 'topic', 'target', 'format'] as const satisfies readonly (keyof TableOptions)[];

function textOf(value: string | readonly string[] | undefined): string | undefined {
  return value === undefined || typeof value === 'string' ? value : value.join(', ');
}
