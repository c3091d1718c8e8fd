import { APPEND_ROLES } from '../names.js';
import type { TargetEngine } from '../target-engine.js';
import { AppendWriter } from './append-writer.js';
import { checkAppendTarget, createAppendTarget, highestAppendGeneration } from './target.js';

/** MergeTree: rows as they were inserted, each once. */
export const mergeTree: TargetEngine = {
  kind: 'merge-tree',
  versions: false,
  roles: APPEND_ROLES,
  async check(clickhouse, table) {
    await checkAppendTarget(clickhouse, table);
  },
  create: createAppendTarget,
  highestGeneration: highestAppendGeneration,
  streamWriter: (services, table, options) => new AppendWriter(services, table, options),
};

/** A MergeTree with a row for each change. */
export const log: TargetEngine = { ...mergeTree, kind: 'log' };
