import { probeKafka } from '../connect/kafka.js';
import { formatTableName, shellName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Settings } from '../settings/settings.js';

/**
 * A table that was added through a Kafka that is not there would be retried for ever, and not say so here.
 * @throws Failure `BrokerUnavailable` with the ways out; `LoginRefused` and its like as they are
 */
export async function requireKafkaFor(settings: Settings, name: TableName): Promise<void> {
  try {
    await probeKafka(settings);
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== 'BrokerUnavailable') throw error;
    const { message, cause } = error;
    const set = settings.origins.kafka === 'default' ? 'set KAFKA_BOOTSTRAP to a Kafka of yours' : 'start that Kafka';
    throw new Failure('BrokerUnavailable', {
      message: `${formatTableName(name)} would go through Kafka: ${message} Nothing was changed.`,
      remedy: `Do without: pg2click add ${shellName(name)} --transport direct; or ${set}. Where only the workers reach it, give --no-wait.`,
      cause,
    });
  }
}
