import {
  ServiceError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  isGrpcDeadlineError,
  type Client,
} from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { TableAddress } from '../domain/receipt.js';
import { formatTableName, workflowIdOf } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Answer } from '../../workflows/messages.js';
import type { Action } from '../../workflows/request.js';

export interface TableRequest extends TableAddress {
  readonly action: Action;
  /** Fields of the message, without `requestId`. */
  readonly message: object;
  /** A fresh one when absent. */
  readonly requestId?: string;
}

/** `pause` -> `requestPause` */
function updateOf(action: Action): string {
  return `request${action.charAt(0).toUpperCase()}${action.slice(1)}`;
}

/** How long a worker has to answer before the request is left for later. */
const ANSWER_MS = 4_000;

/**
 * Asks a table's workflow for something: by an update, which answers; where no worker does, by the signal, which waits in
 * the workflow's history for one. Both carry one request id, so that it is done once.
 * @returns the answer; undefined when the request is accepted and nobody answered yet
 * @throws Failure `MissingTable` where no workflow runs, `Misconfigured` where the workflow refuses the message
 */
export async function sendCommand(client: Client, request: TableRequest): Promise<Answer | undefined> {
  const handle = client.workflow.getHandle(workflowIdOf(request.pipeline, request));
  const { requestId = randomUUID() } = request;
  const message = { ...request.message, requestId };
  try {
    return await client.withDeadline(Date.now() + ANSWER_MS, () =>
      handle.executeUpdate<Answer, [typeof message]>(updateOf(request.action), {
        args: [message],
        updateId: requestId,
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notReplicated(request);
    if (error instanceof WorkflowUpdateFailedError) throw refused(error);
    if (!isUnanswered(error)) throw error;
  }
  try {
    await handle.signal(request.action, message);
    return undefined;
  } catch (error) {
    throw error instanceof WorkflowNotFoundError ? notReplicated(request) : error;
  }
}

export function notReplicated(name: TableAddress): Failure {
  return new Failure('MissingTable', {
    message: `${formatTableName(name)} is not replicated in the pipeline "${name.pipeline}".`,
    remedy: 'See what is with "pg2click status"; add a table with "pg2click add".',
  });
}

function isUnanswered(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  return error instanceof ServiceError ? isGrpcDeadlineError(error.cause) : isGrpcDeadlineError(error);
}

function refused(error: WorkflowUpdateFailedError): Failure {
  const message = error.cause instanceof ApplicationFailure ? error.cause.message : error.message;
  return new Failure('Misconfigured', { message, remedy: 'Correct the request.', cause: error });
}
