import type { Client } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { FAILURE_KINDS, type FailureKind } from '../failure/kinds.js';
import { PHASES, type Phase } from '../../workflows/table-state.js';

/** A table's workflow as the lists of Temporal show it: a second or two old. */
export interface ListedTable {
  readonly pipeline: string;
  /** `schema.table` */
  readonly table: string;
  readonly phase: Phase;
  /** Of the failure that holds it up, or slowed it down last. */
  readonly kind: FailureKind | undefined;
}

const TABLE = defineSearchAttributeKey('Pg2clickTable', SearchAttributeType.KEYWORD);
const PIPELINE = defineSearchAttributeKey('Pg2clickPipeline', SearchAttributeType.KEYWORD);
const PHASE = defineSearchAttributeKey('Pg2clickPhase', SearchAttributeType.KEYWORD);
const FAILURE = defineSearchAttributeKey('Pg2clickFailure', SearchAttributeType.KEYWORD);

/** Every table whose workflow runs in the namespace: one call a thousand of them, and no worker is asked. */
export async function listPhases(client: Client): Promise<readonly ListedTable[]> {
  const tables: ListedTable[] = [];
  const query = 'WorkflowType = "replicateTable" AND ExecutionStatus = "Running"';
  for await (const { typedSearchAttributes: attributes } of client.workflow.list({ query, pageSize: 1_000 })) {
    const phase = PHASES.find((each) => each === attributes.get(PHASE));
    const [pipeline, table] = [attributes.get(PIPELINE), attributes.get(TABLE)];
    // One that was started by hand a moment ago has none yet.
    if (phase === undefined || pipeline === undefined || table === undefined) continue;
    const kind = FAILURE_KINDS.find((each) => each === attributes.get(FAILURE));
    tables.push({ pipeline, table, phase, kind });
  }
  return tables;
}
