import type { Kafka } from 'kafkajs';
import { MOST_MESSAGE_BYTES } from '../domain/change.js';
import type { LogicalMessage, MessageBatch, MessageSink } from '../domain/logical-message.js';
import { Failure } from '../failure/failure.js';
import type { KafkaProducer } from '../kafka/client/producer.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import { RecordBatchWriter, type RecordHeader } from '../kafka/protocol/record-batch-writer.js';
import { ensureTopic, withAdmin } from './admin.js';
import { MOST_BYTES } from './batch-accumulator.js';
import { topicFailure } from './errors.js';

/** More than the headers of a message take. */
const HEADER_BYTES = 400;
const WAITS =
  'Check that Kafka runs and is reachable. The WAL keeps the changes of all tables behind the slot meanwhile.';

export interface MessageTopic {
  readonly topic: string;
  /** Of a topic that is made, milliseconds. */
  readonly retentionMs: number;
}

/** Makes the topic where it is not there. @throws Failure those of `ensureTopic` */
export async function openMessageSink(
  kafka: Kafka,
  producer: KafkaProducer,
  { topic, retentionMs }: MessageTopic,
): Promise<MessageSink> {
  // One partition keeps the order of the commits.
  const spec = { topic, partitions: 1, retentionMs };
  const { partitions } = await withAdmin(kafka, (admin) => ensureTopic(admin, spec)).catch((error: unknown) => {
    throw explain(error, topic);
  });
  return {
    begin: () => new RecordBatches(partitions),
    send: async (batch) => {
      for (const { partition, records, lsn } of (batch as RecordBatches).all)
        await send(producer, { topic, partition, records, lsn });
    },
  };
}

interface PartitionRecords {
  readonly partition: number;
  readonly records: RecordBatchWriter;
  /** Of the first message. */
  readonly lsn: string;
}

/** Its invariant: the messages of a partition are in the order in which they were added. */
class RecordBatches implements MessageBatch {
  readonly all: PartitionRecords[] = [];
  readonly #partitions: number;
  readonly #open = new Map<number, RecordBatchWriter>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  add(message: LogicalMessage): void {
    const { prefix, content, lsn } = message;
    const partition = partitionOf(prefix, this.#partitions);
    const size = content.end - content.start + prefix.end - prefix.start + HEADER_BYTES;
    let records = this.#open.get(partition);
    if (records === undefined || records.size + size > MOST_BYTES) {
      records = new RecordBatchWriter();
      this.#open.set(partition, records);
      this.all.push({ partition, records, lsn });
    }
    records.append(prefix, content, headersOf(message));
  }
}

function headersOf({ prefix, lsn, transaction }: LogicalMessage): readonly RecordHeader[] {
  const headers = [
    { name: PREFIX, value: prefix },
    header(LSN, lsn),
    header(TRANSACTIONAL, String(transaction !== undefined)),
  ];
  if (transaction === undefined) return headers;
  const { commit, xid, at } = transaction;
  return [...headers, header(COMMIT_LSN, commit), header(COMMITTED_AT, at), header(XID, xid)];
}

const PREFIX = Buffer.from('pg2click-prefix');
const LSN = Buffer.from('pg2click-lsn');
const TRANSACTIONAL = Buffer.from('pg2click-transactional');
const COMMIT_LSN = Buffer.from('pg2click-commit-lsn');
const COMMITTED_AT = Buffer.from('pg2click-committed-at');
const XID = Buffer.from('pg2click-xid');

function header(name: Buffer, text: string): RecordHeader {
  const bytes = Buffer.from(text, 'latin1');
  return { name, value: { bytes, start: 0, end: bytes.length } };
}

async function send(producer: KafkaProducer, of: PartitionRecords & { readonly topic: string }): Promise<void> {
  const { topic, partition, records, lsn } = of;
  if (records.records === 1 && records.size > MOST_MESSAGE_BYTES) throw tooLarge(topic, records.size, lsn);
  try {
    await producer.send(topic, partition, records);
  } catch (error) {
    const failure = explain(error, topic);
    if (failure.kind !== 'MessageTooLarge') throw failure;
    if (records.records === 1) throw tooLarge(topic, records.size, lsn, failure);
    // The topic takes less than was assumed.
    for (const half of records.halves()) await send(producer, { ...of, records: half });
  }
}

function explain(error: unknown, topic: string): Failure {
  const failure =
    error instanceof Failure ? error : topicFailure(error, `Sending logical messages to topic ${topic}`, topic);
  const { kind, message, cause } = failure;
  if (kind === 'BrokerUnavailable') return new Failure(kind, { message, remedy: WAITS, cause });
  // The next attempt makes it again.
  if (kind === 'TopicReplaced' || kind === 'PartitionsChanged')
    return new Failure('BrokerUnavailable', {
      message: `The topic ${topic} of logical messages is not what it was: it is looked for again.`,
      cause,
    });
  return failure;
}

/** @param lsn of the message, or of one before it in its batch */
function tooLarge(topic: string, bytes: number, lsn: string, cause?: unknown): Failure {
  return new Failure('MessageTooLarge', {
    message: `A logical message of ${bytes} bytes, at ${lsn} of the WAL or soon after it, is larger than Kafka accepts in topic ${topic}. Nothing behind it is read.`,
    remedy: `Raise max.message.bytes of the topic ${topic}, then resume the tables. Or set PG2CLICK_WAL_MESSAGES_TOPIC=none for the workers, and restart them: no message is sent from then on.`,
    cause,
  });
}
