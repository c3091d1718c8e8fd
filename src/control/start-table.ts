import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributePair } from '@temporalio/common';
import type { TableAddress } from '../domain/receipt.js';
import type { TableOptions } from '../domain/replicated-table.js';
import { formatTableName, workflowIdOf } from '../domain/table-name.js';
import { REPLICATE_TABLE, type RemoveMessage, type ReplicateTableInput } from '../../workflows/messages.js';

export interface StartRequest extends TableAddress {
  readonly options?: TableOptions | undefined;
  readonly sliceMs?: number | undefined;
  /** The deployment's, of workflows. */
  readonly taskQueue: string;
}

/**
 * Starts the workflow of a table, unless it runs. It does not need a worker: what is started waits for one.
 * @returns false where the table is replicated already
 */
export async function startTable(client: Client, request: StartRequest): Promise<boolean> {
  try {
    await client.workflow.start(REPLICATE_TABLE, { ...startOptions(request), workflowIdConflictPolicy: 'FAIL' });
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** Ends the workflow that runs under the table's id, and starts another, in one step. @param signal its first message */
export async function replaceWorkflow(
  client: Client,
  request: StartRequest,
  signal: readonly [name: string, message: object] | undefined,
): Promise<void> {
  const options = { ...startOptions(request), workflowIdConflictPolicy: 'TERMINATE_EXISTING' as const };
  if (signal === undefined) {
    await client.workflow.start(REPLICATE_TABLE, options);
    return;
  }
  const [name, message] = signal;
  await client.workflow.signalWithStart(REPLICATE_TABLE, { ...options, signal: name, signalArgs: [message] });
}

/** For a table that is in the ledger while its workflow is gone: a run whose first message is its removal. */
export async function startRemoval(client: Client, request: StartRequest, message: RemoveMessage): Promise<void> {
  await client.workflow.signalWithStart(REPLICATE_TABLE, {
    ...startOptions(request),
    signal: 'remove',
    signalArgs: [message],
  });
}

function startOptions({ pipeline, schema, table, options, sliceMs, taskQueue }: StartRequest) {
  const title = formatTableName({ schema, table });
  const input: ReplicateTableInput = {
    pipeline,
    schema,
    table,
    ...(options === undefined ? {} : { options }),
    ...(sliceMs === undefined ? {} : { sliceMs }),
  };
  return {
    workflowId: workflowIdOf(pipeline, { schema, table }),
    taskQueue,
    args: [input] as [ReplicateTableInput],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
    typedSearchAttributes: searchAttributes(pipeline, title),
    staticSummary: clip(`${title} to ClickHouse`),
  };
}

function searchAttributes(pipeline: string, title: string): SearchAttributePair[] {
  const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
  return [
    { key: keyword('Pg2clickTable'), value: title },
    { key: keyword('Pg2clickPipeline'), value: pipeline },
    { key: keyword('Pg2clickPhase'), value: 'preparing' },
  ];
}

/** The server takes 200 bytes. */
function clip(summary: string): string {
  return Buffer.byteLength(summary) <= 200 ? summary : `${Buffer.from(summary).subarray(0, 190).toString()}...`;
}
