import type { QuarantineReceipt, QuarantineRequest } from '../src/domain/receipt.js';
import { loaderNamed, targetOf, type ReplicatedTable, type TargetTable } from '../src/domain/replicated-table.js';
import { replayStage, type ReplayPosition } from '../src/domain/replay.js';
import { engineOf, loaderOf } from '../src/domain/route.js';
import { retryAppended } from '../src/clickhouse/quarantine/retry-appended.js';
import { retryRows } from '../src/clickhouse/quarantine/retry-rows.js';
import { closeRows, countOpen } from '../src/ledger/quarantine.js';
import { dropRows, rowsToRetry, type RetriedRow } from '../src/ledger/quarantine-rows.js';
import { readStages } from '../src/ledger/stages.js';
import { UNBOUNDED, runSlice, type Slice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import { readByKey } from '../src/source/by-key/read-by-key.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/** Of one request: their bytes are in memory. */
const MOST_ROWS = 1_000;

/** Inserts rows of the quarantine again, or gives them up. Idempotent: a row that was inserted already is in ClickHouse once. */
export async function changeQuarantine(deps: Deps, request: QuarantineRequest): Promise<QuarantineReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, `${request.action} quarantine`);
    const table = await findPreparedTable(deps.ledger, request, await deps.deployment());
    let [retried, refused, dropped] = [0, 0, 0];
    if (request.action === 'drop') dropped = await dropRows(deps.ledger, table.id, request.ids);
    else {
      const rows = await rowsToRetry(deps.ledger, table.id, request.ids, MOST_ROWS);
      for (const loader of new Set(rows.map((row) => row.loader))) {
        const its = rows.filter((row) => row.loader === loader);
        steps.begin(`inserting ${its.length} rows again into the target of ${loader}`);
        const inserted = await retry(deps, table, { loader, rows: its }, slice);
        retried += await closeRows(deps.ledger, table.id, inserted, 'retried');
        refused += its.length - inserted.length;
      }
    }
    return { retried, refused, dropped, open: await countOpen(deps.ledger, table.id) };
  });
}

/** @returns ids of those that are in ClickHouse now */
async function retry(
  deps: Deps,
  table: ReplicatedTable,
  { loader, rows }: { readonly loader: string; readonly rows: readonly RetriedRow[] },
  { signal }: Slice,
): Promise<readonly string[]> {
  const target = await findTarget(deps, table, loader);
  if (target === undefined) return [];
  const { clickhouse } = deps.sink(target);
  if (engineOf(target) === 'replacing') return retryRows(clickhouse, target, rows, signal);
  // Of a table that only grows nobody sees a correction: its rows are read again.
  const read = (values: readonly Buffer[]) =>
    readByKey(
      deps,
      table,
      { values, bytes: values.reduce((sum, each) => sum + each.length + 1, 0), shape: table.shape },
      {
        signal,
      },
    );
  return retryAppended(clickhouse, target, rows, { read, signal });
}

/** @returns undefined for a replay that is forgotten: nobody knows any more where it wrote to */
async function findTarget(deps: Deps, table: ReplicatedTable, loader: string): Promise<TargetTable | undefined> {
  const { id } = await deps.deployment();
  if (table.route.loaders.some(({ name }) => name === loader)) return targetOf(table, loaderNamed(table, loader), id);
  const rows = await readStages(deps.ledger, table.id);
  const replay = rows.find(({ stage }) => stage === replayStage(loader) && loaderOf(stage) === undefined);
  const position = replay?.position as ReplayPosition | undefined;
  return position === undefined ? undefined : { ...targetOf(table, position.loader, id), loader };
}
