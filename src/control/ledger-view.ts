import type { Databases } from '../connect/databases.js';
import type { Deployment, TaskQueues } from '../domain/deployment.js';
import { sqlName, workflowIdOf, type TableName } from '../domain/table-name.js';
import type { Failure } from '../failure/failure.js';
import { remedyOf } from '../failure/kinds.js';
import { composeTable } from './compose-table.js';
import { readKnown, type PipelineView } from './table-view.js';

export interface LedgerSource extends Databases {
  readonly pipeline: string;
  readonly deployment: Deployment;
  readonly queues: TaskQueues;
}

/**
 * A pipeline while Temporal does not answer: what the ledger knows of its tables. Rows, what waits and the lag are true; the phase, and who
 * works, only Temporal knows.
 * @param outage why Temporal was not asked
 */
export async function viewLedger(source: LedgerSource, outage: Failure, only?: TableName): Promise<PipelineView> {
  const { pipeline, deployment, queues } = source;
  const known = await readKnown(source, only);
  const tables = [...known.values()].map((backlog) => {
    const { name } = backlog.table;
    const nothing = { description: undefined, status: undefined, url: null };
    const view = composeTable({ title: sqlName(name), workflowId: workflowIdOf(pipeline, name), backlog, ...nothing });
    return { ...view, phase: 'unknown' as const, failure: null };
  });
  return {
    pipeline,
    deployment: deployment.id,
    at: new Date().toISOString(),
    workers: { workflow: 0, producer: 0, consumer: 0, queues },
    outage: { kind: outage.kind, message: outage.message, remedy: remedyOf(outage) ?? '' },
    tables: tables.toSorted((a, b) => (a.table < b.table ? -1 : 1)),
  };
}
