import type { Client } from '@temporalio/client';
import { SEARCH_KEYS } from '../domain/search-attributes.js';
import { FAILURE_KINDS, type FailureKind } from '../failure/kinds.js';
import { REPLICATE_TABLE } from '../../workflows/names.js';
import { PHASES, type Phase } from '../../workflows/table-state.js';

/** The visibility query for the tables of all pipelines. */
export const RUNNING_TABLES = `WorkflowType = "${REPLICATE_TABLE}" AND ExecutionStatus = "Running"`;

/** A table's workflow as the lists of Temporal show it: a second or two old. One that has just started has no attributes yet. */
export interface ListedTable {
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly pipeline: string | undefined;
  /** `schema.table` */
  readonly table: string | undefined;
  readonly phase: Phase | undefined;
  /** Of the failure that holds it up, or slowed it down last. */
  readonly kind: FailureKind | undefined;
}

/** Every table whose workflow runs in the namespace: one call a thousand of them, and no worker is asked. */
export async function listTables(client: Client): Promise<readonly ListedTable[]> {
  const tables: ListedTable[] = [];
  const listed = client.workflow.list({ query: RUNNING_TABLES, pageSize: 1_000 });
  for await (const { workflowId, taskQueue, typedSearchAttributes: attributes } of listed)
    tables.push({
      workflowId,
      taskQueue,
      pipeline: attributes.get(SEARCH_KEYS.pipeline),
      table: attributes.get(SEARCH_KEYS.table),
      phase: PHASES.find((each) => each === attributes.get(SEARCH_KEYS.phase)),
      kind: FAILURE_KINDS.find((each) => each === attributes.get(SEARCH_KEYS.failure)),
    });
  return tables;
}
