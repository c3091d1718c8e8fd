import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { SearchAttributePair } from '@temporalio/common';
import { clip } from '../domain/clip.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import type { TableAddress } from '../domain/receipt.js';
import type { TableOptions } from '../domain/replicated-table.js';
import { SEARCH_KEYS, type SearchAttributeName } from '../domain/search-attributes.js';
import { formatTableName, workflowIdOf } from '../domain/table-name.js';
import type { RemoveMessage, ReplicateTableInput } from '../../workflows/messages.js';
import { REPLICATE_TABLE } from '../../workflows/names.js';
import { findLacking } from './search-attributes.js';

const FIRST_PHASE = 'preparing';

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
    await client.workflow.start(REPLICATE_TABLE, {
      ...(await startOptions(client, request)),
      workflowIdConflictPolicy: 'FAIL',
    });
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
  const options = { ...(await startOptions(client, request)), workflowIdConflictPolicy: 'TERMINATE_EXISTING' as const };
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
    ...(await startOptions(client, request)),
    signal: 'remove',
    signalArgs: [message],
  });
}

async function startOptions(client: Client, request: StartRequest) {
  const { pipeline, schema, table, options, sliceMs, priority, taskQueue } = request;
  const title = formatTableName({ schema, table });
  const lacking = (await findLacking(client.connection, client.options.namespace)) ?? [];
  const input: ReplicateTableInput = {
    pipeline,
    schema,
    table,
    ...(options === undefined ? {} : { options }),
    ...(sliceMs === undefined ? {} : { sliceMs }),
    ...(priority === undefined ? {} : { priority }),
    ...(lacking.length === 0 ? {} : { lackingAttributes: lacking }),
  };
  return {
    workflowId: workflowIdOf(pipeline, { schema, table }),
    taskQueue,
    args: [input] as [ReplicateTableInput],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
    typedSearchAttributes: searchAttributes(pipeline, title).filter(({ key }) => !isIn(lacking, key.name)),
    ...(isIn(lacking, SEARCH_KEYS.phase.name) ? { memo: { [SEARCH_KEYS.phase.name]: FIRST_PHASE } } : {}),
    // The server takes 200 bytes; names are at most 2 x 63 bytes, quoted twice that.
    staticSummary: clip(`${title} to ClickHouse`, 150),
  };
}

function searchAttributes(pipeline: string, title: string): SearchAttributePair[] {
  return [
    { key: SEARCH_KEYS.table, value: title },
    { key: SEARCH_KEYS.pipeline, value: pipeline },
    { key: SEARCH_KEYS.phase, value: FIRST_PHASE },
  ];
}

function isIn(lacking: readonly SearchAttributeName[], name: string): boolean {
  return lacking.some((each) => each === name);
}
