import type { Databases } from '../../connect/databases.js';
import type { Queryable } from '../../connect/queryable.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName, sqlName } from '../../domain/table-name.js';
import { unreadColumns } from '../../domain/row-filter.js';
import { captureAgainRemedy, copyAgainRemedy } from '../../failure/remedies.js';
import { Failure } from '../../failure/failure.js';
import { readFingerprint, saveFingerprint } from '../../ledger/tables.js';
import { explainFingerprint } from './fingerprint-difference.js';
import { findPlace, requirePlace } from './place.js';
import { fingerprintTable, type Fingerprint } from './fingerprint.js';

/**
 * Compares the table with what it was when it was added: what no event announces must be noticed before anything is read.
 * @returns the fingerprint to compare the next one with
 * @throws Failure `SourceChanged`, `MissingTable`
 */
export async function verifyUnchanged({ ledger, source }: Databases, table: ReplicatedTable): Promise<string> {
  const fingerprint = await fingerprintTable(source, table);
  // Another one may have got the name since, of which the fingerprint says nothing.
  if (table.source !== undefined) requirePlace(table, await findPlace(source, table));
  // Texts differ after VACUUM FULL and the like too: only what matters is explained.
  if (explainFingerprint(table.fingerprint, fingerprint, unreadColumns(table)) !== '')
    await requireRenewed(ledger, table, fingerprint);
  // A harmless change is remembered, so that the next one is judged by itself.
  if (fingerprint !== table.fingerprint) await saveFingerprint(ledger, table.id, fingerprint);
  return fingerprint;
}

/** The triggers may have been renewed since the slice began, by "pg2click init": the ledger knows. */
async function requireRenewed(ledger: Queryable, table: ReplicatedTable, fingerprint: string): Promise<void> {
  const saved = await readFingerprint(ledger, table.id);
  const change = explainFingerprint(saved ?? table.fingerprint, fingerprint, unreadColumns(table));
  if (change === '') return;
  const { keyed, persistence, subscribed } = JSON.parse(fingerprint) as Fingerprint;
  const first =
    persistence === 'u' ? `Run in PostgreSQL: alter table ${sqlName(sourceName(table))} set logged.` : undefined;
  const remedyOf = subscribed && isPolled(table) ? captureAgainRemedy : copyAgainRemedy;
  throw new Failure('SourceChanged', {
    message: `${formatTableName(table.name)} was changed in a way that no event announces: ${change}.`,
    // A target is ordered by the key.
    remedy: remedyOf({ ...table, key: keyed ? table.key : [] }, { dropTarget: !keyed, first }),
  });
}

function isPolled({ route }: ReplicatedTable): boolean {
  return route.capture['cursor'] !== undefined;
}
