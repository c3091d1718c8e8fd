import type { Admin, Kafka } from 'kafkajs';
import { classifyKafka } from '../failure/classify-kafka.js';
import { silence, withDeadline } from './deadline.js';

/** A question to a broker that is up takes milliseconds; kafkajs alone would go on trying for half a minute. */
const PATIENCE_MS = 10_000;

/**
 * One question over a connection of its own. Not a kept one: kafkajs refreshes the metadata of every topic it was ever asked
 * about, and fails for all of them once one is deleted.
 * @param what the beginning of a sentence: "Asking for the offsets of topic orders"
 * @throws Failure `BrokerUnavailable` after 10 s; what `ask` throws, classified
 */
export async function askAdmin<T>(kafka: Kafka, what: string, ask: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin({ retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 } });
  const asked = (async () => {
    try {
      await admin.connect();
      return await ask(admin);
    } catch (error) {
      throw classifyKafka(error, what);
    } finally {
      // Not awaited: a connection that hangs is what keeps us waiting already.
      admin.disconnect().catch(() => undefined);
    }
  })();
  return withDeadline(asked, PATIENCE_MS, () => silence(what, PATIENCE_MS));
}
