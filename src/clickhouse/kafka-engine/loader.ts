import type { Loader } from '../loader.js';
import { createTarget } from '../target.js';
import { dropEngine } from './drop.js';
import { Engine, stopEngine } from './engine.js';
import { engineSpec } from './spec.js';

/** ClickHouse reads the topic itself; a slice watches it. */
export const kafkaEngineLoader: Loader = {
  kind: 'kafka-engine',
  async prepare(services, table, { loader, transport }) {
    if (transport === undefined) throw new Error('the Kafka engine needs a topic');
    // Refused before anything is made.
    const spec = await engineSpec(services, table, { loader, transport });
    await createTarget(services.clickhouse, table);
    await new Engine(services, spec).make();
  },
  stop: async ({ clickhouse }, table) => void (await stopEngine(clickhouse, table)),
  remove: ({ clickhouse }, table, options) => dropEngine(clickhouse, table, options),
};
