import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { describeTable, queryTable, retriedFor, type PendingTask } from '../control/describe-table.js';
import { workflowIdOf, type TableName } from '../domain/table-name.js';
import type { TableStatus } from '../../workflows/messages.js';
import type { Session } from './session.js';

const EVERY_MS = 400;
/** A query that fails this often in a row: no worker runs. */
const SILENT_LOOKS = 5;

/** Asks the workflow until `read` finds something. @returns undefined where nobody answers any more */
export async function pollStatus<T>(
  session: Session,
  client: Client,
  name: TableName,
  read: (status: TableStatus, pending: readonly PendingTask[]) => T | undefined,
): Promise<T | undefined> {
  const workflowId = workflowIdOf(session.settings.pipeline, name);
  let silent = 0;
  let said: string | undefined;
  for (;;) {
    session.signal.throwIfAborted();
    const [status, description] = await Promise.all([
      queryTable(client, workflowId),
      describeTable(client, workflowId),
    ]);
    if (description?.running !== true) return undefined;
    silent = status === undefined ? silent + 1 : 0;
    if (silent >= SILENT_LOOKS) return undefined;
    const retried = description.pending.map(retriedFor).find(Boolean)?.message;
    if (retried !== undefined && retried !== said) session.tell(`retrying: ${retried}`);
    said = retried ?? said;
    const found = status === undefined ? undefined : read(status, description.pending);
    if (found !== undefined) return found;
    await sleep(EVERY_MS, undefined, { signal: session.signal });
  }
}
