import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { SearchAttributePair } from '@temporalio/common';
import { clip } from '../domain/clip.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import type { TableAddress } from '../domain/receipt.js';
import type { TableOptions } from '../domain/replicated-table.js';
import { SEARCH_KEYS } from '../domain/search-attributes.js';
import { formatTableName, workflowIdOf } from '../domain/table-name.js';
import type { RemoveMessage, ReplicateTableInput } from '../../workflows/messages.js';
import { REPLICATE_TABLE } from '../../workflows/names.js';

export interface StartRequest extends TableAddress {
  readonly options?: TableOptions | undefined;
  readonly sliceMs?: number | undefined;
  readonly priority?: CopyPriority | undefined;
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

function startOptions({ pipeline, schema, table, options, sliceMs, priority, taskQueue }: StartRequest) {
  const title = formatTableName({ schema, table });
  const input: ReplicateTableInput = {
    pipeline,
    schema,
    table,
    ...(options === undefined ? {} : { options }),
    ...(sliceMs === undefined ? {} : { sliceMs }),
    ...(priority === undefined ? {} : { priority }),
  };
  return {
    workflowId: workflowIdOf(pipeline, { schema, table }),
    taskQueue,
    args: [input] as [ReplicateTableInput],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
    typedSearchAttributes: searchAttributes(pipeline, title),
    // The server takes 200 bytes; names are at most 2 x 63 bytes, quoted twice that.
    staticSummary: clip(`${title} to ClickHouse`, 150),
  };
}

function searchAttributes(pipeline: string, title: string): SearchAttributePair[] {
  return [
    { key: SEARCH_KEYS.table, value: title },
    { key: SEARCH_KEYS.pipeline, value: pipeline },
    { key: SEARCH_KEYS.phase, value: 'preparing' },
  ];
}
