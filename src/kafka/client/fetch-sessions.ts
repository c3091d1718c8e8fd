import type { Brokers } from './brokers.js';
import { FetchLoop, type FetchPartition } from './fetch-loop.js';
import type { FetchMemory } from './fetch-memory.js';

/** A partition that brought nothing for so long is fetched with the idle ones. */
const BUSY_MS = 5_000;
/** Between two checks for such partitions. */
const PLAN_MS = 1_000;

interface Pair {
  readonly busy: FetchLoop;
  readonly idle: FetchLoop;
}

/**
 * Two sessions for each broker, and the decision which partition is in which: the busy one has those that brought records in
 * the last seconds, the idle one all others. A broker visits every partition of a session for each request, so a thousand idle
 * ones in the request that is repeated for each row of a busy one would take most of its time.
 *
 * Its invariant: a partition is here once, since Kafka allows it once in a session. The loops know nothing of each other; a
 * partition moves by following the other one.
 */
export class FetchSessions {
  readonly #connections: { readonly busy: Brokers; readonly idle: Brokers };
  readonly #memory: FetchMemory;
  readonly #pairs = new Map<number, Pair>();
  readonly #partitions = new Map<string, { readonly partition: FetchPartition; readonly pair: Pair }>();
  #timer: NodeJS.Timeout | undefined;

  /** @param connections of its own: a broker answers the requests of a connection one after the other */
  constructor(connections: { readonly busy: Brokers; readonly idle: Brokers }, memory: FetchMemory) {
    this.#connections = connections;
    this.#memory = memory;
  }

  get isEmpty(): boolean {
    return this.#partitions.size === 0;
  }

  has(key: string): boolean {
    return this.#partitions.has(key);
  }

  /** Fetches the partition from this broker until it leaves or is lost. It is not `has` before. */
  follow(partition: FetchPartition, node: number): void {
    let pair = this.#pairs.get(node);
    if (pair === undefined) this.#pairs.set(node, (pair = this.#open(node)));
    this.#partitions.set(partition.key, { partition, pair });
    // A reader that begins waits for its first response: the busy session answers soonest. The next plan moves it on.
    pair.busy.follow(partition);
    this.#schedule();
  }

  leave(partition: FetchPartition): void {
    const known = this.#partitions.get(partition.key);
    if (known?.partition !== partition) return;
    this.#partitions.delete(partition.key);
    known.pair.busy.leave(partition);
    known.pair.idle.leave(partition);
  }

  /** All partitions are lost, and the connections end. */
  close(reason: Error): void {
    clearTimeout(this.#timer);
    for (const { busy, idle } of this.#pairs.values()) for (const loop of [busy, idle]) loop.close(reason);
    this.#connections.busy.close(reason);
    this.#connections.idle.close(reason);
  }

  #open(node: number): Pair {
    const events = {
      received: (partition: FetchPartition) => {
        partition.busyUntilMs = Date.now() + BUSY_MS;
        if (partition.loop === pair.busy) return pair.idle.leave(partition);
        pair.busy.follow(partition);
        this.#schedule();
      },
      lost: (partition: FetchPartition, reason: number | Error) => {
        this.leave(partition);
        partition.target.lost(reason);
      },
    };
    const { busy, idle } = this.#connections;
    const pair: Pair = {
      busy: new FetchLoop({ node, brokers: busy, memory: this.#memory, isForIdle: false, events }),
      idle: new FetchLoop({ node, brokers: idle, memory: this.#memory, isForIdle: true, events }),
    };
    return pair;
  }

  /** Moves partitions that bring nothing any more. One with records queued stays: it waits for room, not for records. */
  #plan(): void {
    const now = Date.now();
    for (const { busy, idle } of this.#pairs.values()) {
      for (const partition of busy.members)
        if (partition.busyUntilMs < now && partition.target.queuedBytes === 0) idle.follow(partition);
      if (!busy.isEmpty) this.#schedule();
    }
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#plan();
    }, PLAN_MS).unref();
  }
}
