import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { ensureFlushed } from '../flush.js';
import { formatLsn } from './lsn.js';
import { slotOf, type OwnedTable } from './names.js';
import type { WalReaders } from './reader.js';
import { readReader } from './state.js';
import { readWalEnd } from './wal-end.js';

const LOOK_MS = 50;
/** A reader that is at work has noted a later position by then. */
const PUSH_AFTER_MS = 1_000;
/** More than an idle reader leaves unnoted, which is 1 MiB. */
const PUSH_BYTES = 1_200_000;

/**
 * Waits until the keys of all that was committed before the call are in the outboxes, whichever worker reads the slot: by what this one has
 * read itself, else by the position that is noted with the keys. An idle reader notes none, so some WAL is written that it has to pass.
 * @throws Failure why the slot cannot be read; `SourceUnavailable` and its like; the signal's reason
 */
export async function waitUntilRead(
  { source, wal }: { readonly source: Queryable; readonly wal: WalReaders },
  table: OwnedTable,
  { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: (what: string) => void },
): Promise<void> {
  const slot = slotOf(table);
  const reader = wal.of(slot);
  using _ = reader.hold();
  try {
    await ensureFlushed(source);
    const end = await readWalEnd(source);
    let pushAt = Date.now() + PUSH_AFTER_MS;
    for (;;) {
      // It makes PostgreSQL say where the reader stands.
      if (!reader.isBefore(end) && reader.hasReached(end)) return;
      if (((await readReader(source, slot))?.position ?? 0n) >= end) return;
      await reader.requireReading();
      if (Date.now() > pushAt) {
        await push(source);
        pushAt = Infinity;
      }
      onWait(`the WAL is read up to ${formatLsn(end)}`);
      await sleep(LOOK_MS, undefined, { signal });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw classifyPostgres(error, 'waiting until the WAL is read');
  }
}

/** Nobody decodes it. Committed synchronously: what is not on disk is not sent. */
async function push(source: Queryable): Promise<void> {
  await source.query(/* sql */ `set local synchronous_commit = on;
    select pg_catalog.pg_logical_emit_message(true, 'pg2click', repeat(' ', ${PUSH_BYTES}))`);
}
