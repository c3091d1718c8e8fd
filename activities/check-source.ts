import type { SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import type { Queryable } from '../src/connect/queryable.js';
import { saveFingerprint } from '../src/ledger/tables.js';
import type { PublishStage } from '../src/ledger/stages.js';
import { explainFingerprint } from '../src/source/catalog/fingerprint-difference.js';
import { fingerprintTable } from '../src/source/catalog/fingerprint.js';
import { readOutboxSequence, type OutboxSequence } from '../src/source/outbox/sequence.js';

/**
 * What no event announces, looked at before anything is read: a changed table, a restored server, a ledger set back.
 * The last receipt, which Temporal keeps, is the checkpoint outside.
 * @returns where the outbox's sequence stands, and the fingerprint to compare the next one with
 * @throws Failure `SourceChanged`, `SourceSetBack`, `LedgerSetBack`
 */
export async function checkSourceHistory(
  pg: Queryable,
  table: ReplicatedTable,
  stage: Pick<PublishStage, 'batch'>,
  { checkpoint }: Pick<SliceRequest, 'checkpoint'>,
): Promise<{ readonly sequence: OutboxSequence; readonly fingerprint: string }> {
  const title = formatTableName(table.name);
  const fingerprint = await fingerprintTable(pg, table);
  // Texts differ after VACUUM FULL and the like too: only what matters is explained.
  const change = explainFingerprint(table.fingerprint, fingerprint);
  if (change !== '')
    throw new Failure('SourceChanged', {
      message: `${title} was changed in a way that no event announces: ${change}.`,
    });
  // A harmless change is remembered, so that the next one is judged by itself.
  if (fingerprint !== table.fingerprint) await saveFingerprint(pg, table.id, fingerprint);
  if (checkpoint !== null && stage.batch < checkpoint.batch)
    throw new Failure('LedgerSetBack', {
      message: `The ledger says that batch ${stage.batch} of ${title} is the last published; batch ${checkpoint.batch} was confirmed before.`,
    });
  const sequence = await readOutboxSequence(pg, table.id);
  if (checkpoint !== null && BigInt(sequence.last) < BigInt(checkpoint.highest))
    throw new Failure('SourceSetBack', {
      message: `The outbox of ${title} stands at ${sequence.last}; ${checkpoint.highest} was published before.`,
    });
  return { sequence, fingerprint };
}
