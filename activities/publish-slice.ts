import type { OutboxBatch } from '../src/domain/batch.js';
import { LagClock } from '../src/domain/lag.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { countBatch } from '../src/observe/count-batch.js';
import { advanceOutbox, type SentBatch } from '../src/ledger/outbox.js';
import { claimStage, type PublishStage } from '../src/ledger/stage.js';
import { readBatch } from '../src/source/drain.js';
import { ensureFlushed } from '../src/source/flush.js';
import { waitForEvents, Wake } from '../src/source/wake.js';
import { checkSourceHistory } from './check-source.js';
import type { Deps } from './deps.js';
import { findPreparedReplica } from './find-replica.js';
import { runSlice } from './slice.js';

/** Events in the first batch of a slice; later ones follow the measured size of a row. */
const FIRST_LIMIT = 1_000;
/** A batch is read again whole after a failure, and its name costs one synchronous commit (1 to 5 ms). */
const MOST_EVENTS = 20_000;
const BATCH_BYTES = 8_000_000;
/** An idle slice says so at least this often. */
const REPORT_MS = 1_000;

/**
 * Publish: outbox -> Kafka. Each batch is named in the ledger, read from the outbox joined to its table, sent, and
 * confirmed together with the name of the next. A crash between any two steps leaves a named batch, which is sent again:
 * the topic may hold a row twice, never miss one.
 */
export async function publishSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  const title = formatTableName(request);
  return runSlice(request.sliceMs, async (slice) => {
    const replica = await findPreparedReplica(deps.pool, request);
    await using pg = await deps.connectSource(`publish ${title}`);
    const stage = await claimStage<PublishStage>(pg, { replicaId: replica.id, stage: 'publish', owner: deps.owner });
    await checkSourceHistory(pg, replica, stage, request);
    const publisher = await deps.publisher();
    const lag = new LagClock();
    const wake = new Wake();
    let lowWater = stage.lowWater;
    const position = { replicaId: replica.id, epoch: stage.epoch };
    const total = { batches: 0, rows: 0, bytes: 0, first: '', last: stage.position.last ?? '0' };
    // Positions that were drawn, and those of them that nobody waits for: sent, rolled back, or a copy's.
    let drawn = 0n;
    let done = BigInt(total.last);
    let limit = FIRST_LIMIT;
    let batch = stage.batch;
    let pending: OutboxBatch | undefined = stage.pending ?? undefined;

    const waiting = (): number => Math.max(0, Number(drawn - done));
    const advance = async (sent: SentBatch | null): Promise<void> => {
      const advanced = await advanceOutbox(pg, position, sent, slice.ending.aborted ? 0 : limit);
      pending = advanced.next;
      lowWater = advanced.lowWater;
      drawn = BigInt(advanced.lastDrawn ?? total.last);
      if (pending === undefined && !slice.ending.aborted) done = drawn;
      lag.observe(drawn, Date.now());
    };
    const report = (): void =>
      slice.progress({
        stage: 'publish',
        rows: total.rows,
        batches: total.batches,
        moved: movedText(total),
        waiting: waiting(),
        lagSeconds: lag.seconds(done, Date.now()),
      });

    while (pending !== undefined || !slice.ending.aborted) {
      if (pending === undefined) {
        const look = { signal: slice.ending, after: lowWater, wake, timeoutMs: REPORT_MS };
        if (await waitForEvents(pg, replica.id, look)) await advance(null);
        report();
        continue;
      }
      const named: OutboxBatch = pending;
      const startedAt = performance.now();
      const reading = readBatch(pg, replica, named, { signal: slice.signal });
      const sent = await publisher.send(
        {
          topic: replica.topic,
          partitions: replica.partitions,
          format: replica.format,
          generation: named.generation,
          batch: named.batch,
          // A row may be read before its writer's commit is on disk; it is not sent before that.
          beforeSend: () => ensureFlushed(deps.pool),
        },
        reading.changes,
      );
      const durationMs = performance.now() - startedAt;
      await advance({ batch: named.batch, events: reading.events(), rows: sent.rows, bytes: sent.bytes });
      countBatch(deps.meters, request, { stage: 'publish', ...sent, durationMs, again: named === stage.pending });
      limit = nextLimit(sent);
      batch = named.batch;
      total.batches += 1;
      total.rows += sent.rows;
      total.bytes += sent.bytes;
      total.first ||= named.first;
      total.last = named.last;
      if (BigInt(named.last) > done) done = BigInt(named.last);
      report();
    }
    return {
      stage: 'publish',
      batches: total.batches,
      rows: total.rows,
      bytes: total.bytes,
      witness: { batch, highest: total.last },
      moved: movedText(total),
      waiting: waiting(),
      lagSeconds: lag.seconds(done, Date.now()),
    };
  });
}

function movedText(total: { first: string; last: string }): string {
  return total.first === '' ? '' : `seq ${total.first}..${total.last}`;
}

function nextLimit(sent: { rows: number; bytes: number }): number {
  const rowBytes = Math.max(1, sent.bytes / Math.max(1, sent.rows));
  return Math.min(MOST_EVENTS, Math.max(1, Math.floor(BATCH_BYTES / rowBytes)));
}
