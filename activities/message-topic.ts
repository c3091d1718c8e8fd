import type { MessageSink } from '../src/domain/logical-message.js';
import { Failure } from '../src/failure/failure.js';
import type { KafkaProducer } from '../src/kafka/client/producer.js';
import { listTakenNames } from '../src/ledger/registration.js';
import { openMessageSink } from '../src/topic/message-sink.js';
import type { Deps } from './deps.js';

const NO_TABLE = { schema: '', table: '' };

/**
 * The topic of logical messages.
 * @throws Failure `Misconfigured` where it is that of a table, which would park on them; those of `openMessageSink`
 */
export async function openMessageTopic(
  { ledger, kafka, settings }: Pick<Deps, 'ledger' | 'kafka' | 'settings'>,
  producer: KafkaProducer,
  topic: string,
): Promise<MessageSink> {
  const taken = await listTakenNames(ledger, settings.pipeline, NO_TABLE);
  const owner = taken.find((names) => names.topic === topic)?.owner;
  if (owner !== undefined)
    throw new Failure('Misconfigured', {
      message: `PG2CLICK_WAL_MESSAGES_TOPIC names the topic ${topic}, which is that of ${owner}.`,
      remedy:
        'Name a topic of its own for logical messages there, or none to send none; restart the workers, then resume the table.',
    });
  return openMessageSink(kafka, producer, { topic, retentionMs: settings.kafka.retentionMs });
}
