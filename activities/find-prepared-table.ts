import type { Queryable } from '../src/connect/queryable.js';
import type { SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { findTable } from '../src/ledger/tables.js';
import type { Deployment } from '../src/domain/deployment.js';
import { requireOwnTable } from './require-own-table.js';

/**
 * A slice runs only after preparing, so the ledger knew this table once, under this id.
 * @throws Failure `LedgerSetBack`; `TargetTaken` another deployment added it
 */
export async function findPreparedTable(
  ledger: Queryable,
  request: Pick<SliceRequest, 'pipeline' | 'schema' | 'table' | 'tableId'>,
  own: Deployment,
): Promise<ReplicatedTable> {
  const table = await findTable(ledger, request.pipeline, request);
  const title = `${formatTableName(request)} of pipeline ${request.pipeline}`;
  if (table === undefined)
    throw new Failure('LedgerSetBack', { message: `The ledger does not know ${title} any more.` });
  if (request.tableId !== undefined && request.tableId !== table.id)
    throw new Failure('LedgerSetBack', {
      message: `The ledger knows ${title} as table ${table.id}, and this workflow has prepared table ${request.tableId}.`,
    });
  requireOwnTable(table, own);
  return table;
}
