import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import type { Fetcher } from './fetcher.js';
import { KafkaReading } from './kafka-reading.js';
import { Lane } from './lane.js';
import { Lanes } from './lanes.js';
import type { ReaderOptions, StartOptions, TopicReader, TopicReading } from './topic-reader.js';

export class KafkaReader implements TopicReader {
  readonly #fetcher: Fetcher;
  readonly #topic: string;
  readonly #log: Log;
  #reading: KafkaReading | undefined;

  constructor(fetcher: Fetcher, topic: string, options: ReaderOptions) {
    this.#fetcher = fetcher;
    this.#topic = topic;
    this.#log = options.log;
  }

  async start(
    offsets: Readonly<Record<string, string>>,
    { generation, headers }: StartOptions = {},
  ): Promise<TopicReading> {
    const place = await this.#fetcher.place(this.#topic);
    const lanes = Object.entries(offsets).map(
      ([partition, offset]) =>
        new Lane(this.#topic, Number(partition), this.#fetcher.memory, {
          next: Number(offset),
          high: Number(place.offsets[partition]?.high ?? '0'),
          before: headers?.[partition],
        }),
    );
    const started = new Lanes(this.#topic, lanes, generation);
    started.requireIn(place);
    this.#reading?.end(
      new Failure('Fenced', { message: `Another slice of this worker reads topic ${this.#topic} now.` }),
    );
    const reading = new KafkaReading(this.#fetcher, started, this.#log);
    this.#reading = reading;
    await reading.begin(place);
    return reading;
  }
}
