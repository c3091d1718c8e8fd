import { onTestFinished } from 'vitest';
import { connectTestKafka } from './kafka.js';
import { freshName } from './stack.js';
import { waitFor } from './wait-for.js';

/** A message as another program reads it. */
export interface ReadMessage {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** The first messages of a topic, in the order of their partitions. */
export async function readTopic(topic: string, count: number): Promise<readonly ReadMessage[]> {
  const messages: ReadMessage[] = [];
  const consumer = connectTestKafka().consumer({ groupId: freshName('reader') });
  onTestFinished(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ partition, message: { key, value, headers = {} } }) => {
      const texts = Object.entries(headers).map(([name, text]) => [name, String(text)]);
      messages.push({
        partition,
        key: key === null ? null : String(key),
        value: value === null ? null : String(value),
        headers: Object.fromEntries(texts) as Record<string, string>,
      });
      return Promise.resolve();
    },
  });
  await waitFor(() => messages.length >= count, { deadlineMs: 20_000, what: `${count} messages` });
  return messages;
}
