import type { ClientBase } from 'pg';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { installOutbox } from '../../src/source/outbox/install.js';

/**
 * Puts an outbox and its triggers on a table that nobody drains.
 * @param id no ledger has one so high
 */
export async function capture(pg: ClientBase, table: string, id: string): Promise<ReplicatedTable> {
  const name = { schema: 'public', table };
  const { relation, columns, key, triggerLevel } = await inspectTable(pg, name);
  const replica: ReplicatedTable = {
    id,
    pipeline: 'bench',
    name,
    relation,
    generation: 1,
    shape: 1,
    columns,
    key,
    route: {
      capture: { kind: 'outbox', triggerLevel },
      transport: { kind: 'kafka', topic: table, partitions: 1, format: 'json', payload: 'row' },
      loaders: [{ kind: 'worker', name: 'main', target: { database: 'default', table } }],
    },
    fingerprint: '',
  };
  await installOutbox(pg, { ...replica, triggerLevel });
  return replica;
}
