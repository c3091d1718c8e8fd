import type { Part } from '../src/domain/part.js';
import type { SliceRequest } from '../src/domain/receipt.js';
import type { Replica } from '../src/domain/replica.js';
import { formatTableName } from '../src/domain/table-name.js';
import { composeVersion } from '../src/domain/version.js';
import { Failure } from '../src/failure/failure.js';
import { readStages, type CopyPosition, type LoadStage } from '../src/ledger/stage.js';
import { sinkState } from '../src/sink/state.js';
import { verifyTarget } from '../src/sink/target.js';
import type { Deps } from './deps.js';

/**
 * The witnesses outside the ledger: Temporal's last receipt, and what ClickHouse holds: the highest version that was confirmed,
 * and the parts that were seen before.
 * @returns a part that is there now, to ask for the next time
 * @throws Failure `LedgerSetBack`, `SinkSetBack`, `SchemaMismatch`
 */
export async function checkSinkHistory(
  deps: Deps,
  replica: Replica,
  stage: Pick<LoadStage, 'batch' | 'position'>,
  request: Pick<SliceRequest, 'witness'>,
): Promise<Part | undefined> {
  const title = formatTableName(replica.name);
  if (request.witness !== null && stage.batch < request.witness.batch)
    throw new Failure('LedgerSetBack', {
      message: `The ledger says that batch ${stage.batch} of ${title} is the last loaded; batch ${request.witness.batch} was confirmed before.`,
    });
  // Someone's ALTER to a narrower type would wrap values without a word.
  await verifyTarget(deps.clickhouse, replica);
  const copy = await findCopy(deps, replica);
  const target = `${replica.target.database}.${replica.target.table} in ClickHouse`;
  const seen = [copy.part, stage.position.part];
  const { highest, newest, lost } = await deps.parts
    .look(replica.target, replica.generation, seen)
    .catch(async (error: unknown) => {
      // Dropped in between: said as such, not as the error of whichever query met it.
      if (error instanceof Failure && error.kind === 'SinkSetBack') await verifyTarget(deps.clickhouse, replica);
      throw error;
    });
  if (lost !== undefined)
    throw new Failure('SinkSetBack', {
      message: `${target} has lost rows that were confirmed for ${title}: the part ${lost.name} is gone, and nothing that was merged from it is there.`,
    });
  const expected = highestConfirmed(replica, copy, stage);
  if (expected > highest && ((await sinkState(deps.clickhouse, replica.target)).highest ?? 0n) < expected)
    throw new Failure('SinkSetBack', {
      message: `${target} holds nothing of the newest batches that were confirmed for ${title}.`,
    });
  return newest;
}

async function findCopy(deps: Deps, replica: Replica): Promise<CopyPosition> {
  const copy = (await readStages(deps.pool, replica.id)).find((row) => row.stage === 'copy');
  return (copy?.position ?? {}) as CopyPosition;
}

function highestConfirmed(replica: Replica, copy: CopyPosition, stage: Pick<LoadStage, 'position'>): bigint {
  const copied =
    copy.done !== undefined && copy.rows !== '0' ? composeVersion(replica.generation, BigInt(copy.done)) : 0n;
  const loaded = BigInt(stage.position.highest ?? '0');
  return copied > loaded ? copied : loaded;
}
