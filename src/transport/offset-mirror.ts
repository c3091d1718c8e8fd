import type { Kafka } from 'kafkajs';
import { protocolTypeOf } from '../failure/classify-kafka.js';
import type { Log } from '../observe/log.js';
import { withDeadline } from './deadline.js';
import { GroupOffsets, type TopicOffsets } from './group-offsets.js';

const BETWEEN_COMMITS_MS = 1_000;
const AFTER_FAILURE_MS = 30_000;
const COMMIT_MS = 10_000;

/** Shows the ledger's positions of all topics as the offsets of the public group, for the lag tools people have. */
export interface OffsetMirror {
  /** Shows these offsets soon, with those of all topics that moved, at most one commit a second; never throws, never waits. */
  commit(topic: string, offsets: Readonly<Record<string, string>>): void;
  /** Shows the last ones, best effort. */
  close(): Promise<void>;
}

export interface OffsetMirrorOptions {
  /** `KAFKA_GROUP`. Several tables, in several processes, may share it; it must have no members. */
  readonly group: string;
  readonly log: Log;
  /** Between two commits, in milliseconds; 1,000 by default. */
  readonly everyMs?: number;
}

export function openOffsetMirror(kafka: Kafka, options: OffsetMirrorOptions): OffsetMirror {
  return new ThrottledMirror(kafka, options);
}

class ThrottledMirror implements OffsetMirror {
  readonly #kafka: Kafka;
  readonly #options: OffsetMirrorOptions;
  #connection: GroupOffsets | undefined;
  #latest = new Map<string, Readonly<Record<string, string>>>();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #lastCommitMs = 0;
  #hasComplained = false;
  #isClosed = false;

  constructor(kafka: Kafka, options: OffsetMirrorOptions) {
    this.#kafka = kafka;
    this.#options = options;
  }

  commit(topic: string, offsets: Readonly<Record<string, string>>): void {
    this.#latest.set(topic, offsets);
    this.#schedule(this.#lastCommitMs + (this.#options.everyMs ?? BETWEEN_COMMITS_MS) - Date.now());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#working;
    if (!this.#hasComplained) await this.#commitLatest();
    this.#connection?.close();
    this.#connection = undefined;
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed || this.#timer !== undefined || this.#working !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#working = this.#commitLatest().finally(() => {
          this.#working = undefined;
          if (this.#latest.size > 0)
            this.#schedule(this.#hasComplained ? AFTER_FAILURE_MS : (this.#options.everyMs ?? BETWEEN_COMMITS_MS));
        });
      },
      Math.max(0, delayMs),
    );
    // A display keeps no process alive.
    this.#timer.unref();
  }

  /** Never rejects. */
  async #commitLatest(): Promise<void> {
    const moved: TopicOffsets = this.#latest;
    if (moved.size === 0) return;
    this.#latest = new Map();
    const { group, log } = this.#options;
    try {
      const connection = (this.#connection ??= new GroupOffsets(this.#kafka, group));
      await withDeadline(connection.commit(moved), COMMIT_MS, () => new Error('no answer'));
      this.#hasComplained = false;
    } catch (error) {
      this.#latest = new Map([...moved, ...this.#latest]);
      const level = this.#hasComplained ? 'debug' : 'info';
      const reason = protocolTypeOf(error) ?? (error instanceof Error ? error.name : 'unknown');
      log[level]({ group, reason }, 'public group offsets are not shown; loading goes on');
      this.#hasComplained = true;
      this.#connection?.close();
      this.#connection = undefined;
    } finally {
      this.#lastCommitMs = Date.now();
    }
  }
}
