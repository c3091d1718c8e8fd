import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { retryCommand, takenRemedy, type AddedTable } from '../failure/remedies.js';
import type { SinkColumn } from './catalog.js';
import { targetNames } from './names.js';

/** Why a table that is there cannot take the rows. */
export interface Misfit {
  /** A clause: `column "id" is Int32, not Int64`. */
  readonly what: string;
  /** The statement that mends it; absent where only another table does. */
  readonly sql?: string;
}

type Misfitting = AddedTable & Pick<TargetTable, 'target'>;

export function alterTable({ target }: Pick<TargetTable, 'target'>, change: string): string {
  return /* sql */ `alter table ${targetNames(target).sql.table} ${change}`;
}

/** A column that the rows do not name. */
export function extraColumn(
  table: Pick<TargetTable, 'target'>,
  { name, type }: Pick<SinkColumn, 'name' | 'type'>,
): Misfit {
  const value = type.includes('Nullable(') ? 'null' : `defaultValueOfTypeName('${type.replaceAll("'", "\\'")}')`;
  return {
    what: `column "${name}" is not in the source and has no default`,
    sql: alterTable(table, `modify column ${quoteCh(name)} default ${value}`),
  };
}

export function misfitMessage({ name, target }: Misfitting, misfits: readonly Misfit[]): string {
  const found = misfits.map(({ what }) => what).join('; ');
  return `The ClickHouse table ${targetNames(target).shown} does not fit ${formatTableName(name)}: ${found}.`;
}

/** Of a table that a user made. */
export function misfitRemedy(table: Misfitting, misfits: readonly Misfit[]): string {
  const run = misfits.flatMap(({ sql }) => sql ?? []);
  if (run.length < misfits.length)
    return (
      `No ALTER changes all of that. ${takenRemedy(table, 'target')}. ` +
      `Or drop the table, then run ${retryCommand(table)}: it is made as it has to be.`
    );
  return `Run in ClickHouse: ${run.join('; ')}. Then run ${retryCommand(table)}.`;
}
