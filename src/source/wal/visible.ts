import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';

const SHORTEST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 100;
const XID_MODULUS = 1n << 32n;

/** A snapshot as PostgreSQL prints it: `xmin:xmax:xip,xip`, numbers of 64 bits. */
export class Snapshot {
  readonly #xmax: bigint;
  readonly #running: ReadonlySet<bigint>;

  constructor(text: string) {
    const [, xmax = '', running = ''] = text.split(':');
    this.#xmax = BigInt(xmax);
    this.#running = new Set(running === '' ? [] : running.split(',').map(BigInt));
  }

  /** @param xid 32 bits, of a transaction that is known to have committed: within 2^31 of the present */
  sees(xid: number): boolean {
    const wide = this.#widen(xid);
    return wide < this.#xmax && !this.#running.has(wide);
  }

  #widen(xid: number): bigint {
    const wide = (this.#xmax & ~(XID_MODULUS - 1n)) | BigInt(xid);
    if (wide - this.#xmax >= XID_MODULUS / 2n) return wide - XID_MODULUS;
    if (this.#xmax - wide > XID_MODULUS / 2n) return wide + XID_MODULUS;
    return wide;
  }
}

export interface WaitOptions {
  readonly signal: AbortSignal;
  /** Called at each look that was in vain. */
  readonly onWait?: () => void;
}

/**
 * Waits until every later snapshot shows what the transactions did. PostgreSQL sends a commit as soon as it is on its disk, and lets others
 * see it a moment later: with synchronous replication, when the standby has answered. Who reads the row of a key in between finds it
 * missing and takes it for deleted, and no later change corrects that.
 * @param xids 32 bits, of transactions that have committed
 * @throws the signal's reason; the error of PostgreSQL
 */
export async function waitUntilVisible(
  pg: Queryable,
  xids: Iterable<number>,
  { signal, onWait = () => undefined }: WaitOptions,
): Promise<void> {
  let left = [...xids];
  for (let pauseMs = SHORTEST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const found = await pg.query<{ seen: string }>(/* sql */ `select pg_catalog.pg_current_snapshot()::text as seen`);
    const snapshot = new Snapshot(found.rows[0]?.seen ?? '');
    left = left.filter((xid) => !snapshot.sees(xid));
    if (left.length === 0) return;
    onWait();
    await sleep(pauseMs, undefined, { signal });
  }
}
