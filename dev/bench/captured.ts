import type { ClientBase } from 'pg';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import type { CaptureSpec } from '../../src/domain/route.js';
import type { Capture } from '../../src/source/capture.js';
import { outboxCapture } from '../../src/source/outbox/outbox-capture.js';
import { captureFormOf } from '../../src/source/outbox/capture-form.js';
import { installOutbox } from '../../src/source/outbox/install.js';

/**
 * Installs a capture on a table that nobody reads.
 * @param id no ledger has one so high
 */
export async function captureWith(
  captured: Capture,
  pg: ClientBase,
  table: string,
  id: string,
): Promise<ReplicatedTable> {
  const name = { schema: 'public', table };
  const { relation, columns, key, capture: spec } = await captured.inspect(pg, name, {});
  const replica = replicaOf({ id, name, relation, columns, key }, spec);
  await captured.install(pg, replica);
  return replica;
}

function replicaOf(
  found: Pick<ReplicatedTable, 'id' | 'name' | 'relation' | 'columns' | 'key'>,
  spec: CaptureSpec,
): ReplicatedTable {
  const { table } = found.name;
  return {
    ...found,
    pipeline: 'bench',
    generation: 1,
    shape: 1,
    route: {
      capture: spec,
      transport: { kind: 'kafka', topic: table, partitions: 1, format: 'json', payload: 'row' },
      loaders: [{ kind: 'worker', name: 'main', target: { database: 'default', table } }],
    },
    fingerprint: '',
  };
}

/**
 * Puts an outbox and its triggers on a table that nobody drains.
 * @param id no ledger has one so high
 */
export async function capture(pg: ClientBase, table: string, id: string): Promise<ReplicatedTable> {
  const name = { schema: 'public', table };
  const { relation, columns, key, capture } = await outboxCapture.inspect(pg, name, {});
  const replica = replicaOf({ id, name, relation, columns, key }, capture);
  await installOutbox(pg, { ...replica, ...captureFormOf(replica) });
  return replica;
}
