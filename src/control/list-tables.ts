import type { Client } from '@temporalio/client';
import { readWorkflowId } from '../domain/table-name.js';
import { REPLICATE_TABLE } from '../../workflows/names.js';
import { readShown, type Shown } from './search-attributes.js';

/** The visibility query for the tables of all pipelines. */
const RUNNING_TABLES = `WorkflowType = "${REPLICATE_TABLE}" AND ExecutionStatus = "Running"`;

/** A table's workflow as the lists of Temporal show it: a second or two old. */
export interface ListedTable extends Shown {
  readonly workflowId: string;
  readonly taskQueue: string;
  /** Undefined, as its table is, for a workflow with an id of its own. */
  readonly pipeline: string | undefined;
  /** `schema.table` */
  readonly table: string | undefined;
}

/** Every table whose workflow runs in the namespace: one call a thousand of them, and no worker is asked. */
export async function listTables(client: Client): Promise<readonly ListedTable[]> {
  const tables: ListedTable[] = [];
  for await (const listed of client.workflow.list({ query: RUNNING_TABLES, pageSize: 1_000 })) {
    const { workflowId, taskQueue } = listed;
    const { pipeline, table } = readWorkflowId(workflowId) ?? {};
    tables.push({ workflowId, taskQueue, pipeline, table, ...readShown(listed) });
  }
  return tables;
}
