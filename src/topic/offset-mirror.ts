import type { Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { protocolTypeOf } from '../failure/classify-kafka.js';
import { Brokers } from '../kafka/client/brokers.js';
import { ClientClosed } from '../kafka/client/errors.js';
import { withTimeout } from '../kafka/client/waiting.js';
import type { Log } from '../observe/log.js';
import { commitGroupOffsets, type GroupOffsets } from './group-offsets.js';

const BETWEEN_COMMITS_MS = 1_000;
const AFTER_FAILURE_MS = 30_000;
const COMMIT_MS = 10_000;

/** Shows the ledger's positions of all topics as the offsets of the public group, for the lag tools people have. */
export interface OffsetMirror {
  /** Shows these offsets soon, with those of all topics that moved, at most one commit a second; never throws, never waits. */
  commit(topic: string, offsets: GroupOffsets): void;
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

/**
 * Commits a group's offsets without being a member of it, as Kafka's own `kafka-consumer-groups --reset-offsets` does: for a
 * group without members, any number of topics and processes. kafkajs has no public call for that: `admin.setOffsets` joins the
 * group, takes 5 to 8 s, and fails while any other table of the group does the same.
 */
export function openOffsetMirror(kafka: Kafka, { group, log, everyMs }: OffsetMirrorOptions): OffsetMirror {
  const latest = new Map<string, GroupOffsets>();
  const closing = new AbortController();
  let brokers: Brokers | undefined;
  let hasFailed = false;
  let working: Promise<void> | undefined;

  const commitLatest = async (): Promise<void> => {
    const moved = [...latest];
    latest.clear();
    try {
      brokers ??= new Brokers(kafka);
      if (moved.length > 0) await withTimeout(commitGroupOffsets(brokers, group, moved), COMMIT_MS);
      hasFailed = false;
    } catch (error) {
      for (const [topic, offsets] of moved) if (!latest.has(topic)) latest.set(topic, offsets);
      const reason = protocolTypeOf(error) ?? (error instanceof Error ? error.name : 'unknown');
      log[hasFailed ? 'debug' : 'info']({ group, reason }, 'public group offsets are not shown; loading goes on');
      hasFailed = true;
      brokers?.close(new ClientClosed());
      brokers = undefined;
    }
  };
  const work = async (): Promise<void> => {
    // What moves meanwhile goes along. A display keeps no process alive.
    const rest = (ms: number) => sleep(ms, undefined, { ref: false, signal: closing.signal }).catch(() => undefined);
    while (latest.size > 0 && !closing.signal.aborted) {
      await commitLatest();
      await rest(hasFailed ? AFTER_FAILURE_MS : (everyMs ?? BETWEEN_COMMITS_MS));
    }
    working = undefined;
  };
  return {
    commit(topic, offsets) {
      latest.set(topic, offsets);
      if (!closing.signal.aborted) working ??= work();
    },
    async close() {
      closing.abort();
      await working;
      if (!hasFailed) await commitLatest();
      brokers?.close(new ClientClosed());
    },
  };
}
