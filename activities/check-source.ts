import type { SliceRequest } from '../src/domain/receipt.js';
import type { Replica } from '../src/domain/replica.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import type { Queryable } from '../src/connect/queryable.js';
import { saveFingerprint } from '../src/ledger/replica.js';
import type { PublishStage } from '../src/ledger/stage.js';
import { explainFingerprint } from '../src/source/fingerprint-difference.js';
import { fingerprintTable } from '../src/source/fingerprint.js';
import { readOutboxSequence, type OutboxSequence } from '../src/source/outbox-sequence.js';

/**
 * What no event announces, looked at before anything is read: a changed table, a restored server, a ledger set back.
 * The last receipt, which Temporal keeps, is the witness outside.
 * @returns where the outbox's sequence stands, and the fingerprint to compare the next one with
 * @throws Failure `SourceChanged`, `SourceSetBack`, `LedgerSetBack`
 */
export async function checkSourceHistory(
  pg: Queryable,
  replica: Replica,
  stage: Pick<PublishStage, 'batch'>,
  { witness }: Pick<SliceRequest, 'witness'>,
): Promise<{ readonly sequence: OutboxSequence; readonly fingerprint: string }> {
  const title = formatTableName(replica.name);
  const fingerprint = await fingerprintTable(pg, replica);
  // Texts differ after VACUUM FULL and the like too: only what matters is explained.
  const change = explainFingerprint(replica.fingerprint, fingerprint);
  if (change !== '')
    throw new Failure('SourceChanged', {
      message: `${title} was changed in a way that no event announces: ${change}.`,
    });
  // A harmless change is remembered, so that the next one is judged by itself.
  if (fingerprint !== replica.fingerprint) await saveFingerprint(pg, replica.id, fingerprint);
  if (witness !== null && stage.batch < witness.batch)
    throw new Failure('LedgerSetBack', {
      message: `The ledger says that batch ${stage.batch} of ${title} is the last published; batch ${witness.batch} was confirmed before.`,
    });
  const sequence = await readOutboxSequence(pg, replica.id);
  if (witness !== null && BigInt(sequence.last) < BigInt(witness.highest))
    throw new Failure('SourceSetBack', {
      message: `The outbox of ${title} stands at ${sequence.last}; ${witness.highest} was published before.`,
    });
  return { sequence, fingerprint };
}
