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
 * The witnesses outside the ledger: Temporal's last receipt, and the highest version that ClickHouse holds.
 * @throws Failure `LedgerSetBack`, `SinkSetBack`, `SchemaMismatch`
 */
export async function checkSinkHistory(
  deps: Deps,
  replica: Replica,
  stage: Pick<LoadStage, 'batch' | 'position'>,
  request: Pick<SliceRequest, 'witness'>,
): Promise<void> {
  const title = formatTableName(replica.name);
  if (request.witness !== null && stage.batch < request.witness.batch)
    throw new Failure('LedgerSetBack', {
      message: `The ledger says that batch ${stage.batch} of ${title} is the last loaded; batch ${request.witness.batch} was confirmed before.`,
    });
  // Someone's ALTER to a narrower type would wrap values without a word.
  await verifyTarget(deps.clickhouse, replica);
  const expected = await highestConfirmed(deps, replica, stage);
  if (expected === 0n) return;
  if ((await deps.parts.highest(replica.target)) >= expected) return;
  const sink = await sinkState(deps.clickhouse, replica.target);
  if ((sink.highest ?? 0n) < expected)
    throw new Failure('SinkSetBack', {
      message: `${replica.target.database}.${replica.target.table} in ClickHouse holds nothing of the newest batches that were confirmed for ${title}.`,
    });
}

async function highestConfirmed(deps: Deps, replica: Replica, stage: Pick<LoadStage, 'position'>): Promise<bigint> {
  const copy = (await readStages(deps.pool, replica.id)).find((row) => row.stage === 'copy');
  const position = (copy?.position ?? {}) as CopyPosition;
  const copied =
    position.done !== undefined && position.rows !== '0'
      ? composeVersion(replica.generation, BigInt(position.done))
      : 0n;
  const loaded = BigInt(stage.position.highest ?? '0');
  return copied > loaded ? copied : loaded;
}
