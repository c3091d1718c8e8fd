import type { Queryable } from '../connect/queryable.js';
import type { PrepareRequest } from '../domain/receipt.js';
import { tableCommand } from '../domain/table-command.js';
import { optionsOf, spokenOptions } from '../domain/table-options.js';
import { formatTableName, isSameName, shellName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { findNameOf, findTable } from './tables.js';

/**
 * A table that was renamed in PostgreSQL goes on under the name that it was added with. Under its new one it would be loaded twice.
 * @param relation its oid; undefined where there is no table of that name
 * @throws Failure `UnsuitableTable`
 */
export async function refuseSecondName(
  pg: Queryable,
  { pipeline, schema, table, options }: Pick<PrepareRequest, 'pipeline' | 'schema' | 'table' | 'options'>,
  relation: string | undefined,
): Promise<void> {
  const name = { schema, table };
  const known = relation === undefined ? undefined : await findNameOf(pg, pipeline, relation);
  if (known === undefined || isSameName(known, name)) return;
  const has = await findTable(pg, pipeline, known);
  // Without its topic and target, whose names come from that of the table.
  const { topic: _, target: __, ...kept } = has === undefined ? {} : spokenOptions(optionsOf(has));
  throw new Failure('UnsuitableTable', {
    message: `${formatTableName(name)} is replicated already, as ${formatTableName(known)}: that was its name when it was added.`,
    remedy:
      `Commands take that name. To have it under its new one, run pg2click remove ${shellName(known)} --drop-target, ` +
      `then ${tableCommand('add', name, { ...kept, ...options })}: it is copied again.`,
  });
}
