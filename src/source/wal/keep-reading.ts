import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';
import type { Deployment } from '../../domain/deployment.js';
import type { WalReaders } from './reader.js';
import { hasTables } from './state.js';
import { slotNameOf } from './names.js';

const EVERY_MS = 10_000;

/** By the catalogue: a role that only reads may not name the schema, and an older release has no such table. */
const IS_THERE = /* sql */ `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'pg2click' and c.relname = 'wal_table' and pg_catalog.has_table_privilege(c.oid, 'select')`;

export interface KeepReadingServices {
  readonly source: Queryable;
  readonly wal: WalReaders;
  /** Who we are. */
  deployment(): Promise<Deployment>;
}

/**
 * Reads the slot of the pipeline while a table is behind it, until the signal is aborted: also while its tables are paused or parked.
 * Otherwise PostgreSQL would keep all of the WAL for a table that waits for a person. Never rejects.
 */
export async function keepReading(
  services: KeepReadingServices,
  signal: AbortSignal,
  everyMs = EVERY_MS,
): Promise<void> {
  const { source, wal } = services;
  let hold: Disposable | undefined;
  while (!signal.aborted) {
    try {
      const slot = slotNameOf(await services.deployment());
      const isNeeded = (await source.query(IS_THERE)).rowCount === 1 && (await hasTables(source, slot));
      if (isNeeded) hold ??= wal.of(slot).hold();
      else {
        hold?.[Symbol.dispose]();
        hold = undefined;
      }
    } catch {
      // PostgreSQL is away: what reads it says so.
    }
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
  }
  hold?.[Symbol.dispose]();
}
