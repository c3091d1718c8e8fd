/** Keeps the rows of a table that pg2click publishes (--format json), and prints them whenever it has caught up. */
import { Kafka } from 'kafkajs';
import { kafkaSettings } from './kafka-settings.js';

type Row = { readonly _version: string; readonly _deleted: 0 | 1; readonly [column: string]: unknown };

const { KAFKA_TOPIC = '', KAFKA_GROUP = 'example' } = process.env;
const consumer = new Kafka(kafkaSettings()).consumer({ groupId: KAFKA_GROUP });
const rows = new Map<string, Row>();
let floor = 0n;

await consumer.connect();
await consumer.subscribe({ topic: KAFKA_TOPIC, fromBeginning: true });
await consumer.run({
  autoCommit: false, // the state is in memory: a restart reads the topic again
  eachBatch: async ({ batch }) => {
    for (const { key, value } of batch.messages) {
      const row = JSON.parse(String(value)) as Row; // bigint columns beyond 2^53 need another parser
      const version = BigInt(row._version); // 128 bits, so a string in JSON
      const generation = (version >> 120n) << 120n; // a new generation ends the rows of every older one
      const bound = key === null ? version : generation; // TRUNCATE: everything up to this version is gone
      if (bound > floor) floor = bound;
      // A deleted row is kept too: it must win against an older message that comes again.
      if (key !== null && version >= BigInt(rows.get(String(key))?._version ?? 0)) rows.set(String(key), row);
    }
    if (Number(batch.lastOffset()) + 1 < Number(batch.highWatermark)) return;
    const live = [...rows.values()].filter((row) => BigInt(row._version) > floor && row._deleted === 0);
    process.stdout.write(`${JSON.stringify(live)}\n`);
  },
});
