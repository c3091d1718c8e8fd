import { connectKafka, probeKafka } from '../connect/kafka.js';
import { Failure } from '../failure/failure.js';
import type { Settings } from '../settings/settings.js';
import { requireForeignTopic, withAdmin } from '../topic/admin.js';

/**
 * A table that was added through a Kafka that is not there would be retried for ever, and not say so here.
 * @param table its name, and the command that adds it
 * @throws Failure `BrokerUnavailable` with the ways out; `LoginRefused` and its like as they are
 */
export async function requireKafkaFor(
  settings: Settings,
  { title, command }: { readonly title: string; readonly command: string },
): Promise<void> {
  try {
    await probeKafka(settings);
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== 'BrokerUnavailable') throw error;
    const { message, cause } = error;
    const set = settings.origins.kafka === 'default' ? 'set KAFKA_BOOTSTRAP to a Kafka of yours' : 'start that Kafka';
    throw new Failure('BrokerUnavailable', {
      message: `${title} would go through Kafka: ${message} Nothing was changed.`,
      remedy: `Do without: ${command} --transport direct; or ${set}. Where only the workers reach it, give --no-wait.`,
      cause,
    });
  }
}

/**
 * A table whose topic others have to write, and do not, would park as soon as it is prepared.
 * @throws Failure `Misconfigured` as `requireForeignTopic`
 */
export async function requireTopicOfOthers(settings: Settings, topic: string): Promise<void> {
  const another = 'Nothing was changed: name another topic with --topic.';
  const ways = {
    missing: `Start the connector that writes it, then add the table. ${another}`,
    unfit: another,
  };
  await withAdmin(connectKafka(settings, undefined, { retries: 1 }), (admin) =>
    requireForeignTopic(admin, topic, ways),
  );
}
