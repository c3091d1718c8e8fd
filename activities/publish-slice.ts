import { setTimeout as rest } from 'node:timers/promises';
import type { AcquireOptions } from '../src/connect/semaphore.js';
import type { OutboxBatch } from '../src/domain/batch.js';
import type { Changes } from '../src/domain/change.js';
import { SMALL_ROWS } from '../src/pipeline/small-batch-throttle.js';
import { OutboxWatermark } from '../src/source/outbox/watermark.js';
import { LagClock } from '../src/pipeline/lag-clock.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { countBatch } from '../src/observe/count-batch.js';
import { advanceOutbox, type SentBatch } from '../src/ledger/outbox.js';
import { claimStage, type PublishStage } from '../src/ledger/stages.js';
import { readBatch, type BatchReading } from '../src/source/outbox/drain.js';
import { ensureFlushed } from '../src/source/flush.js';
import { PollBackoff } from '../src/pipeline/poll-backoff.js';
import type { Sent } from '../src/transport/publisher.js';
import { checkSourceHistory } from './check-source.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { BROKER_RETRY, retryTransient } from '../src/pipeline/retry.js';
import { runSlice, type Slice } from '../src/pipeline/slice.js';

/** Events in the first batch of a slice; later ones follow the measured size of a row. */
const FIRST_LIMIT = 1_000;
/** A batch is read again whole after a failure, and its name costs one synchronous commit (1 to 5 ms). */
const MOST_EVENTS = 20_000;
const BATCH_BYTES = 8_000_000;
/** A batch that is read and sent shows signs of life oftener, with slow servers too: what takes longer hangs on a dead connection. */
const PATIENCE_MS = 60_000;
/** An idle slice says so at least this often. */
const REPORT_MS = 1_000;
/** Looks for an event that was drawn and cannot be seen: the transaction is open, or was rolled back. */
const PACE = { shortestMs: 5, longestMs: 250, growth: 1.5 };
const REST_TO_LOOK = 4;
const NO_LONGER_MS = 10_000;

/**
 * Publish: outbox -> Kafka. Each batch is named in the ledger, read from the outbox joined to its table, sent, and
 * confirmed together with the name of the next. A crash between any two steps leaves a named batch, which is sent again:
 * the topic may hold a row twice, never miss one.
 */
export async function publishSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  const publish = async (slice: Slice): Promise<SliceReceipt> => {
    let table = await findPreparedTable(deps.pool, request);
    const claim = { tableId: table.id, stage: 'publish', owner: deps.owner } as const;
    const stage = await claimStage<PublishStage>(deps.pool, claim);
    const { sequence, fingerprint } = await checkSourceHistory(deps.pool, table, stage, request);
    table = { ...table, fingerprint };
    const publisher = await deps.publisher();
    const lag = new LagClock();
    const pace = new PollBackoff(PACE);
    const member = {};
    const frontier = new OutboxWatermark(sequence.last, stage.lowWater);
    let checkedAt = Date.now();
    const position = { tableId: table.id, epoch: stage.epoch };
    const total = { batches: 0, rows: 0, bytes: 0, first: '', last: stage.position.last ?? '0' };
    // Up to where nobody waits for anything: it was sent, or is not there to be sent.
    let done = [BigInt(total.last), BigInt(stage.lowWater)].reduce((a, b) => (a > b ? a : b));
    let limit = FIRST_LIMIT;
    let batch = stage.batch;
    let pending: OutboxBatch | undefined = stage.pending ?? undefined;

    /** Of the last look into the outbox. */
    let lookMs = 0;
    const waiting = (): number => Math.max(0, Number(frontier.allocated - done));
    const advance = async (sent: SentBatch | null): Promise<void> => {
      const advanced = await advanceOutbox(deps.pool, position, sent, slice.ending.aborted ? 0 : limit);
      pending = advanced.next;
      if (sent === null) lookMs = advanced.tookMs;
      frontier.advance(advanced.lastDrawn ?? total.last, advanced.lowWater);
      if (pending === undefined && !slice.ending.aborted) done = frontier.allocated;
      lag.observe(frontier.allocated, Date.now());
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

    const readAndSend = async (named: OutboxBatch): Promise<{ sent: Sent; events: number }> => {
      report();
      const reading = lendAndRead(deps, table, named, { signal: slice.signal, onWait: report });
      const consignment = {
        topic: table.topic,
        partitions: table.partitions,
        format: table.format,
        generation: named.generation,
        batch: named.batch,
        beforeSend: () => {
          report();
          // A row may be read before its writer's commit is on disk; it is not sent before that.
          return reading.isFlushed ? Promise.resolve() : ensureFlushed(deps.pool);
        },
      };
      return { sent: await publisher.send(consignment, reading.changes), events: reading.events() };
    };

    /** Waits until the outbox may show something new. */
    const mayHaveEvents = async (): Promise<boolean> => {
      if (frontier.isCaughtUp) {
        pace.reset();
        const watched = { sequence: sequence.oid, seen: String(frontier.allocated) };
        return deps.watch.wait(watched, { signal: slice.ending, timeoutMs: REPORT_MS });
      }
      // Something was drawn that cannot be seen: looking costs a walk over it, so a slow look is followed by a long rest.
      const restMs = Math.min(Math.max(pace.nextMs(), lookMs * REST_TO_LOOK), NO_LONGER_MS);
      await rest(restMs, undefined, { signal: slice.ending }).catch(() => undefined);
      return !slice.ending.aborted;
    };
    while (pending !== undefined || !slice.ending.aborted) {
      if (pending === undefined) {
        if (await mayHaveEvents()) {
          await advance(null);
          if (pending !== undefined) pace.reset();
        }
        if (Date.now() - checkedAt > request.sliceMs) {
          // A slice in which nothing moves is a long one: what no event announces must not go unseen for so long.
          const now = await checkSourceHistory(deps.pool, table, { batch }, request);
          table = { ...table, fingerprint: now.fingerprint };
          checkedAt = Date.now();
        }
        report();
        continue;
      }
      const named: OutboxBatch = pending;
      const startedAt = performance.now();
      const { sent, events } = await retryTransient(slice, () => readAndSend(named), BROKER_RETRY);
      const durationMs = performance.now() - startedAt;
      if (sent.rows < SMALL_ROWS) {
        deps.throttles.publish.record(member, durationMs);
        // The next batch, which is named with the confirmation of this one, grows meanwhile.
        const left = deps.throttles.publish.intervalMs() - durationMs;
        if (left > 1) await rest(left, undefined, { signal: slice.ending }).catch(() => undefined);
      }
      frontier.confirmed(named, events);
      await advance({ batch: named.batch, events, rows: sent.rows, bytes: sent.bytes });
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
      checkpoint: { batch, highest: total.last },
      moved: movedText(total),
      waiting: waiting(),
      lagSeconds: lag.seconds(done, Date.now()),
    };
  };
  return runSlice(request, publish, { patienceMs: PATIENCE_MS });
}

/** A batch is read over a lent connection, given back when all of it was read: an idle table holds none. */
function lendAndRead(deps: Deps, table: ReplicatedTable, batch: OutboxBatch, options: AcquireOptions): BatchReading {
  let reading: BatchReading | undefined;
  async function* read(): AsyncGenerator<Changes, void, undefined> {
    await using lease = await deps.reading.lease(options);
    reading = readBatch(lease.client, table, batch, options);
    yield* reading.changes;
    lease.keep();
  }
  return {
    changes: read(),
    events: () => {
      if (reading === undefined) throw new Error('the events of a batch are known when all its changes were read');
      return reading.events();
    },
    get isFlushed() {
      return reading?.isFlushed === true;
    },
  };
}

function movedText(total: { first: string; last: string }): string {
  return total.first === '' ? '' : `seq ${total.first}..${total.last}`;
}

function nextLimit(sent: { rows: number; bytes: number }): number {
  const rowBytes = Math.max(1, sent.bytes / Math.max(1, sent.rows));
  return Math.min(MOST_EVENTS, Math.max(1, Math.floor(BATCH_BYTES / rowBytes)));
}
