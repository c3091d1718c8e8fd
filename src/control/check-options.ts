import type { Client } from '@temporalio/client';
import type { TableAddress } from '../domain/receipt.js';
import { choicesOf } from '../domain/column-choices.js';
import type { ReplicatedTable, TableOptions } from '../domain/replicated-table.js';
import { formatTableName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { readInput } from './read-input.js';

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
    const none = NAMES[option] === undefined ? 'the default one' : 'none';
    return [{ option, says: `its ${shown(option)} is ${known ?? none}, not ${asked}` }];
  });
  if (differences.length === 0) return;
  const title = formatTableName(table);
  // A topic is chosen once: others may read it.
  const kept = has.topic === undefined ? FIXED : [...FIXED, 'topic'];
  const changing = (isFixed: boolean): string =>
    differences.flatMap(({ option }) => (kept.includes(option) === isFixed ? [shown(option)] : [])).join(', ');
  const [configured, fixed] = [changing(false), changing(true)];
  throw new Failure('UnsuitableTable', {
    message: `${title} was added before, with other options: ${differences.map(({ says }) => says).join('; ')}.`,
    remedy: [
      'Leave these options out to keep the table as it is.',
      configured === '' ? '' : ` To change its ${configured} run pg2click configure ${shellName(table)}.`,
      fixed === '' ? '' : ` To change its ${fixed} run pg2click remove ${shellName(table)}, then add it again.`,
    ].join(''),
  });
}

/**
 * The same of what was chosen for columns.
 * @param wanted what the options make of the table as it is now
 * @throws Failure `UnsuitableTable`
 */
export function requireSameColumns(name: TableName, wanted: ChosenColumns, has: ChosenColumns): void {
  const asked = choicesOf(wanted);
  const differences = [...choicesOf(has)].filter(([position, choice]) => (asked.get(position) ?? choice) !== choice);
  if (differences.length === 0) return;
  throw new Failure('UnsuitableTable', {
    message: `${formatTableName(name)} was added before, with other choices for its columns: ${differences.map(([, choice]) => choice).join('; ')}.`,
    remedy: `Leave these options out to keep the table as it is. To change them run pg2click remove ${shellName(name)}, then add it again.`,
  });
}

type ChosenColumns = Pick<ReplicatedTable, 'columns' | 'excluded'>;

/** How the ClickHouse table is stored. */
const OF_LAYOUT = ['orderBy', 'partitionBy', 'ttl', 'constantTtl', 'cluster'] as const;

const OPTIONS = [
  'key',
  'where',
  'topic',
  'target',
  'format',
  'capture',
  'transport',
  'payload',
  'loader',
  'engine',
  ...OF_LAYOUT,
  'cursor',
  'channel',
  'intervalMs',
] as const satisfies readonly (keyof TableOptions)[];

/** Those that a table keeps for its life. */
const FIXED: readonly (keyof TableOptions)[] = ['key', 'where', 'target', 'loader', 'engine', ...OF_LAYOUT];

const NAMES: Partial<Record<keyof TableOptions, string>> = {
  where: 'row filter',
  orderBy: 'sorting key',
  partitionBy: 'partitioning',
  ttl: 'TTL',
  constantTtl: 'promise of a constant TTL',
};

function shown(option: keyof TableOptions): string {
  return NAMES[option] ?? option;
}

function textOf(value: string | number | boolean | readonly string[] | undefined): string | undefined {
  if (typeof value === 'object') return value.join(', ');
  return value === undefined ? undefined : String(value);
}
