import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from '../src/domain/part.js';
import type { SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { formatTableName } from '../src/domain/table-name.js';
import { composeVersion, type Version } from '../src/domain/version.js';
import { Failure } from '../src/failure/failure.js';
import { readStages, type CopyPosition, type LedgerLoadPosition, type LoadStage } from '../src/ledger/stages.js';
import type { PartsState } from '../src/clickhouse/part-tracker.js';
import { sinkState } from '../src/clickhouse/state.js';
import { verifyTarget } from '../src/clickhouse/target.js';
import type { Deps } from './deps.js';

/** A replica of ClickHouse may be behind the one that was asked before. */
const LOOKS = 3;
const BETWEEN_LOOKS_MS = 1_000;

/**
 * The witnesses outside the ledger: Temporal's last receipt, and what ClickHouse holds: the highest version that was confirmed,
 * and the parts that were seen before.
 * @returns a part that is there now, to ask for the next time; none where nothing was confirmed yet
 * @throws Failure `LedgerSetBack`, `SinkSetBack`, `SchemaMismatch`
 */
export async function checkSinkHistory(
  deps: Deps,
  table: ReplicatedTable,
  stage: Pick<LoadStage, 'batch' | 'position'>,
  request: Pick<SliceRequest, 'checkpoint'>,
): Promise<Part | undefined> {
  const title = formatTableName(table.name);
  if (request.checkpoint !== null && stage.batch < request.checkpoint.batch)
    throw new Failure('LedgerSetBack', {
      message: `The ledger says that batch ${stage.batch} of ${title} is the last loaded; batch ${request.checkpoint.batch} was confirmed before.`,
    });
  // Someone's ALTER to a narrower type would wrap values without a word.
  await verifyTarget(deps.clickhouse, table);
  const copy = await findCopy(deps, table);
  const { position } = stage;
  const expected = highestConfirmed(table, copy, position);
  if (expected === 0n) return undefined;
  for (let look = 1; ; look += 1) {
    const found = await lookAtSink(deps, table, expected, [copy.part, position.part]);
    if (typeof found !== 'string') return found.newest;
    if (look >= LOOKS)
      throw new Failure('SinkSetBack', {
        message: `${table.target.database}.${table.target.table} in ClickHouse ${found} for ${title}.`,
      });
    await sleep(BETWEEN_LOOKS_MS);
  }
}

/** @returns what is missing, as the middle of a sentence */
async function lookAtSink(
  deps: Deps,
  table: ReplicatedTable,
  expected: Version,
  seen: readonly (Part | undefined)[],
): Promise<PartsState | string> {
  const look = await deps.parts.inspect(table.target, table.generation, seen).catch(async (error: unknown) => {
    // Dropped in between: said as such, not as the error of whichever query met it.
    if (error instanceof Failure && error.kind === 'SinkSetBack') await verifyTarget(deps.clickhouse, table);
    throw error;
  });
  if (look.lost !== undefined)
    return `has lost the part ${look.lost.name}, and nothing that was merged from it is there: it held rows that were confirmed`;
  if (look.highest >= expected) return look;
  const { highest } = await sinkState(deps.clickhouse, table.target);
  return (highest ?? 0n) >= expected ? look : 'holds nothing of the newest batches that were confirmed';
}

async function findCopy(deps: Deps, table: ReplicatedTable): Promise<CopyPosition> {
  const copy = (await readStages(deps.pool, table.id)).find((row) => row.stage === 'copy');
  return (copy?.position ?? {}) as CopyPosition;
}

function highestConfirmed(table: ReplicatedTable, copy: CopyPosition, position: LedgerLoadPosition): Version {
  const copied =
    copy.done !== undefined && copy.rows !== '0' ? composeVersion(table.generation, BigInt(copy.done)) : 0n;
  const loaded = BigInt(position.highest ?? '0');
  return copied > loaded ? copied : loaded;
}
