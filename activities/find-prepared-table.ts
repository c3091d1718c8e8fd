import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import type { TableAddress } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { findTable } from '../src/ledger/tables.js';
import type { Queryable } from '../src/connect/queryable.js';

/** @throws Failure `LedgerSetBack`: a slice runs only after preparing, so the ledger knew this table once */
export async function findPreparedTable(ledger: Queryable, table: TableAddress): Promise<ReplicatedTable> {
  const replica = await findTable(ledger, table.pipeline, table);
  if (replica !== undefined) return replica;
  throw new Failure('LedgerSetBack', {
    message: `The ledger does not know ${formatTableName(table)} of pipeline ${table.pipeline} any more.`,
  });
}
