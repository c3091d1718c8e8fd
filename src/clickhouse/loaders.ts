import { Registry } from '../pipeline/registry.js';
import { kafkaEngineLoader } from './kafka-engine/loader.js';
import type { Loader } from './loader.js';
import { targetEngine } from './target-engines.js';

/** Our worker inserts: its stage is `load:<name>`. */
const workerLoader: Loader = {
  kind: 'worker',
  prepare: ({ clickhouse }, table) => targetEngine(table).create(clickhouse, table),
};

/** To add a loader: a file that exports a `Loader`, and its name in this list. */
export const LOADERS = new Registry<Loader>('loader', [workerLoader, kafkaEngineLoader]);
