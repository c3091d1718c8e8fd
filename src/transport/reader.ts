import type { Fetcher } from './fetcher.js';
import { KafkaReader } from './kafka-reader.js';
import type { ReaderOptions, TopicReader } from './topic-reader.js';

export type { Fetched, FetchLimits } from './fetched.js';
export type { ReaderOptions, StartOptions, TakeOptions, TopicReader } from './topic-reader.js';

/** One reader a topic and fetcher; nothing is fetched before its first `start`. */
export function openReader(fetcher: Fetcher, topic: string, options: ReaderOptions): TopicReader {
  return new KafkaReader(fetcher, topic, options);
}
