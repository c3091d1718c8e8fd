import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { policyOf } from '../failure/kinds.js';
import { copyAgainRemedy } from '../failure/remedies.js';
import type { TopicLocation } from '../kafka/client/brokers.js';
import { parseHeader } from '../messages/header.js';
import type { Confirmed } from '../pipeline/batch.js';
import { acknowledgedGone, topicGone } from './errors.js';
import { readLastHeaders } from './last-headers.js';
import type { TopicReader } from './reader.js';

/** A broker that has just become the leader may be behind for a moment. */
const ATTEMPTS = 3;
const BETWEEN_ATTEMPTS_MS = 1_000;

/** By partition: the offset of the last record that Kafka has acknowledged, decimal. */
export type AcknowledgedOffsets = Readonly<Record<string, string>>;

/** A topic that a publish stage writes to. */
export interface WrittenTopic {
  readonly topic: string;
  readonly table: ReplicatedTable;
  /** This deployment, 8 hexadecimal digits. */
  readonly origin: string;
  /** Takes records of all origins: its form is `lastRecords`. */
  readonly reader: TopicReader;
  /** @throws Failure `Fenced` where another attempt works on the stage now */
  readonly requireClaim: () => Promise<void>;
}

/**
 * Compares the end of a topic with what was acknowledged and confirmed, before anything is sent. Kafka may have lost what it acknowledged.
 * And a batch is sent only after its name is in the ledger, so a topic with a batch that the ledger has not named tells of a ledger that
 * is older than it was.
 * @param known `acknowledged`: empty where nothing is known, as in a ledger of an older release; `lastNamed`: the last batch that may have
 * been sent
 * @throws Failure `TopicReplaced`, `LedgerSetBack`, `SourceSetBack`, `Fenced`, `BrokerUnavailable`
 */
export async function verifyTopicEnd(
  written: WrittenTopic,
  confirmed: Confirmed,
  { acknowledged, lastNamed }: { readonly acknowledged: AcknowledgedOffsets; readonly lastNamed: number },
): Promise<void> {
  const location = await requireAcknowledged(written, acknowledged);
  if (location === undefined) return;
  // Where nothing came after the last confirmed record, there is nothing that the ledger would not know.
  const isAhead = Object.entries(location.offsets).some(
    ([partition, { high }]) => BigInt(high) !== BigInt(acknowledged[partition] ?? '-1') + 1n,
  );
  if (!isAhead) return;
  const { topic, table, origin } = written;
  const remedy = copyAgainRemedy(table, { dropTarget: false });
  for (const [partition, text] of await lastHeaders(written.reader, location)) {
    const header = parseHeader(text);
    // A message of an older generation has the positions of another outbox, and one of another deployment says nothing of this ledger.
    if (header?.generation !== table.generation || (header.origin ?? origin) !== origin) continue;
    const where = `${topic}/${partition}`;
    if (header.batch > lastNamed) {
      await written.requireClaim();
      throw new Failure('LedgerSetBack', {
        message: `The last message of ${where} is of batch ${header.batch} of ${formatTableName(table.name)}, and the ledger says that batch ${confirmed.batch} is the last published.`,
        remedy,
      });
    }
    if (BigInt(header.highest) <= BigInt(confirmed.highest) || confirmed.allocated === undefined) continue;
    const allocated = await confirmed.allocated();
    if (BigInt(header.highest) > BigInt(allocated))
      throw new Failure('SourceSetBack', {
        message: `The last message of ${where} has position ${header.highest}, and the outbox of ${formatTableName(table.name)} stands at ${allocated}.`,
        remedy,
      });
  }
}

/** @returns undefined where there is no topic, and nothing was acknowledged either: a send will say so */
async function requireAcknowledged(
  { reader, topic }: WrittenTopic,
  acknowledged: AcknowledgedOffsets,
): Promise<TopicLocation | undefined> {
  const known = Object.entries(acknowledged);
  for (let attempt = 1; ; attempt += 1) {
    const location = await reader.locate();
    const gone = known.find(([partition, last]) => BigInt(location?.offsets[partition]?.high ?? '0') <= BigInt(last));
    if (gone === undefined) return location;
    if (attempt >= ATTEMPTS) {
      if (location === undefined) throw topicGone(topic);
      const [partition, last] = gone;
      throw acknowledgedGone(topic, partition, last);
    }
    await sleep(BETWEEN_ATTEMPTS_MS);
  }
}

/** Empty where the records cannot be read, as by a role that may only write: then nothing can be compared. */
async function lastHeaders(reader: TopicReader, location: TopicLocation): Promise<ReadonlyMap<string, string>> {
  try {
    return await readLastHeaders(reader, location);
  } catch (error) {
    if (error instanceof Failure && policyOf(error.kind).treatment === 'parked') return new Map();
    throw error;
  }
}
