import type { BatchWriter } from '../pipeline/batch.js';
import type { RowStream } from '../pipeline/row-batch.js';
import { ClickHouseWriter } from './clickhouse-writer.js';
import { REPLACING_ROLES } from './names.js';
import type { TargetEngine } from './target-engine.js';
import { checkTarget, createTarget, highestGeneration } from './target.js';

/** ReplacingMergeTree: the newest version of each row, whatever is sent twice or late. */
export const replacing: TargetEngine = {
  kind: 'replacing',
  versions: true,
  roles: REPLACING_ROLES,
  async check(clickhouse, table) {
    await checkTarget(clickhouse, table);
  },
  create: createTarget,
  highestGeneration,
  streamWriter(services, table, options): BatchWriter<RowStream> {
    const writer = new ClickHouseWriter(services, table, options);
    return {
      retry: writer.retry,
      verify: (checkpoint, proof) => writer.verify(checkpoint, proof),
      write: (name, { rows, floor }, how) => writer.write(name, { kind: 'stream', rows, floor }, how),
      rest: (written, tookMs, signal) => writer.rest(written, tookMs, signal),
    };
  },
};
