import type { Replica } from '../src/domain/replica.js';
import type { TableAddress } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { findReplica } from '../src/ledger/replica.js';
import type { Queryable } from '../src/connect/queryable.js';

/** @throws Failure `LedgerSetBack`: a slice runs only after preparing, so the ledger knew this table once */
export async function findPreparedReplica(ledger: Queryable, table: TableAddress): Promise<Replica> {
  const replica = await findReplica(ledger, table.pipeline, table);
  if (replica !== undefined) return replica;
  throw new Failure('LedgerSetBack', {
    message: `The ledger does not know ${formatTableName(table)} of pipeline ${table.pipeline} any more.`,
  });
}
