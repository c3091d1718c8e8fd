import type { LoadPosition, OffsetBatch } from '../src/domain/batch.js';
import { loadToken } from '../src/domain/batch.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { composeVersion, majorOf } from '../src/domain/version.js';
import {
  advanceLoad,
  claimStage,
  type ConfirmedLoad,
  type LedgerLoadPosition,
  type LoadStage,
} from '../src/ledger/stages.js';
import { Failure } from '../src/failure/failure.js';
import { countBatch } from '../src/observe/count-batch.js';
import { deleteBelowFloor, writeFloor } from '../src/clickhouse/floor.js';
import { InsertThrottle } from '../src/clickhouse/insert-throttle.js';
import { insertValues } from '../src/clickhouse/insert.js';
import type { Fetched } from '../src/transport/reader.js';
import { checkSinkHistory } from './check-sink.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { retryTransient } from '../src/pipeline/retry.js';
import { runSlice } from '../src/pipeline/slice.js';

/**
 * One insert is one block: far below the 500,000 rows and 100 MB where ClickHouse would split it. Larger ones than this gain
 * nothing any more, and two of them are held in memory.
 */
const MOST = { maxRows: 200_000, maxBytes: 12_000_000 };
/** How long one look into an idle topic lasts. */
const WAIT_MS = 1_000;

/**
 * Load: Kafka -> ClickHouse. The position is the ledger's, never the consumer group's. Each batch is named by its offsets,
 * inserted with a token made of that name, and confirmed together with the name of the next. A crash between any two steps
 * leaves a named batch; its offsets are read again, which gives the same bytes under the same token.
 */
export async function loadSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runSlice(request, async (slice) => {
    const table = await findPreparedTable(deps.pool, request);
    const stage = await claimStage<LoadStage>(deps.pool, { tableId: table.id, stage: 'load', owner: deps.owner });
    let position: LedgerLoadPosition = stage.position;
    let batch = stage.batch;
    const check = async (): Promise<void> => {
      position = { ...position, part: await checkSinkHistory(deps, table, { batch, position }, request) };
    };
    await retryTransient(slice, check);
    // Also reads the record before the position again, and compares it with what the ledger remembers of it.
    using reading = await deps
      .reader(table.topic)
      .start(stage.position.offsets, { generation: table.generation, headers: stage.position.headers });
    const claim = { tableId: table.id, epoch: stage.epoch };
    const budget = new InsertThrottle(deps.clickhouse, table.target, deps.throttles.load);
    const total = { batches: 0, rows: 0, bytes: 0, first: '', last: '' };
    let lagSeconds = 0;
    let checkedAt = Date.now();
    const receipt = (): SliceReceipt => ({
      stage: 'load',
      batches: total.batches,
      rows: total.rows,
      bytes: total.bytes,
      checkpoint: { batch, highest: String(majorOf(BigInt(position.highest ?? '0'))) },
      moved: total.first === '' ? '' : `offset ${total.first}..${total.last}`,
      waiting: reading.waiting(),
      lagSeconds,
    });

    let inHand =
      stage.pending === null ? undefined : await reading.takeExactly(stage.pending.ranges, { signal: slice.signal });
    while (inHand !== undefined || !slice.ending.aborted) {
      if (inHand === undefined) {
        inHand = await reading.take({ ...MOST, waitMs: WAIT_MS, signal: slice.ending });
        if (inHand === undefined) lagSeconds = 0;
        else await advanceLoad(deps.pool, claim, null, nameOf(inHand, batch + 1, table, position));
        if (Date.now() - checkedAt > request.sliceMs) {
          // A slice in which nothing moves is a long one: a target that was emptied must not go unseen for so long.
          await check();
          checkedAt = Date.now();
        }
        slice.progress(receipt());
        continue;
      }
      const loading: Fetched = inHand;
      const name = nameOf(loading, batch + 1, table, position);
      const startedAt = performance.now();
      budget.begin();
      await retryTransient(slice, async (tries) => {
        // A server that is back may have lost what it had confirmed and not yet written to its disk.
        if (tries > 1) await check();
        await insert(deps, table, name, loading, { signal: slice.signal, attempt: slice.attempt - 1 + tries });
      });
      const durationMs = performance.now() - startedAt;
      budget.loaded(loading.rows);
      await budget.wait(slice.ending);
      position = positionAfter(position, loading, table);
      const confirm: ConfirmedLoad = { batch: name.batch, position, rows: loading.rows, bytes: loading.bytes };
      const next: Fetched | undefined = slice.ending.aborted
        ? undefined
        : await reading.take({ ...MOST, waitMs: 0, signal: slice.ending });
      await advanceLoad(
        deps.pool,
        claim,
        confirm,
        next === undefined ? null : nameOf(next, batch + 2, table, position),
      );
      deps.mirror.commit(table.topic, position.offsets);
      countBatch(deps.meters, request, {
        stage: 'load',
        ...confirm,
        durationMs,
        again: batch === stage.batch && stage.pending !== null,
      });
      batch += 1;
      total.batches += 1;
      total.rows += loading.rows;
      total.bytes += loading.bytes;
      const ranges = Object.values(loading.ranges);
      total.first ||= ranges[0]?.first ?? '';
      total.last = ranges[0]?.last ?? total.last;
      lagSeconds = Math.max(0, (Date.now() - loading.oldestTimestampMs) / 1_000);
      inHand = next;
      slice.progress(receipt());
    }
    if (reading.waiting() === 0) lagSeconds = 0;
    return receipt();
  });
}

/** @throws Failure `Unexpected` unless it continues where the confirmed batches end: whatever a reader does, nothing is passed over */
function nameOf(fetched: Fetched, batch: number, table: ReplicatedTable, { offsets }: LoadPosition): OffsetBatch {
  for (const [partition, { first }] of Object.entries(fetched.ranges))
    if (first !== offsets[partition])
      throw new Failure('Unexpected', {
        message: `Offset ${first} of ${table.topic}/${partition} was read where ${offsets[partition]} comes next.`,
      });
  return { batch, generation: table.generation, ranges: fetched.ranges };
}

function positionAfter(position: LedgerLoadPosition, loaded: Fetched, table: ReplicatedTable): LedgerLoadPosition {
  const offsets = { ...position.offsets };
  for (const [partition, range] of Object.entries(loaded.ranges)) offsets[partition] = String(BigInt(range.last) + 1n);
  const before = BigInt(position.highest ?? '0');
  // Messages of an older life of the table alone load nothing: ClickHouse would be asked for a version it never got.
  const loadedTo = loaded.highest === '0' ? 0n : composeVersion(table.generation, BigInt(loaded.highest));
  const highest = loadedTo > before ? loadedTo : before;
  return { ...position, offsets, headers: { ...position.headers, ...loaded.headers }, highest: String(highest) };
}

async function insert(
  deps: Deps,
  table: ReplicatedTable,
  name: OffsetBatch,
  fetched: Fetched,
  options: { readonly signal: AbortSignal; readonly attempt: number },
): Promise<void> {
  if (fetched.values.length > 0)
    await insertValues(deps.clickhouse, table, {
      values: fetched.values,
      token: loadToken(table, name),
      ...options,
    });
  if (fetched.truncate !== undefined) {
    await writeFloor(deps.clickhouse, table, BigInt(fetched.truncate));
    await deleteBelowFloor(deps.clickhouse, table);
  }
}
