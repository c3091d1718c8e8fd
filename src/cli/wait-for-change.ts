import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { describeTable, queryTable, type PendingTask } from '../control/describe-table.js';
import { sqlName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { ChangeOutcome } from '../../workflows/changes.js';
import type { TableStatus } from '../../workflows/messages.js';
import type { Session } from './session.js';

const EVERY_MS = 400;
/** A query that fails this often in a row: no worker runs. */
const SILENT_LOOKS = 5;

/**
 * Asks the workflow until it has made a change, or refused it.
 * @returns undefined where nobody answers any more: the change goes on by itself when a worker does
 * @throws Failure what refused it; `Fenced` another request has withdrawn it
 */
export async function waitForChange(
  session: Session,
  client: Client,
  name: TableName,
  requestId: string,
): Promise<ChangeOutcome | undefined> {
  return pollStatus(session, client, name, ({ change, changed }) => {
    if (changed?.requestId === requestId) {
      if (changed.failure !== null) throw new Failure(changed.failure.kind, changed.failure);
      return changed;
    }
    if (change?.requestId === requestId) return undefined;
    throw new Failure('Fenced', {
      message: `Another request for ${sqlName(name)} has taken the place of this one: it was withdrawn, or its end was not seen.`,
      remedy: `See what the table has now: pg2click status ${shellName(name)}`,
    });
  });
}

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
    const retried = description.pending.find(({ failure }) => failure !== undefined)?.failure?.message;
    if (retried !== undefined && retried !== said) session.tell(`retrying: ${retried}`);
    said = retried ?? said;
    const found = status === undefined ? undefined : read(status, description.pending);
    if (found !== undefined) return found;
    await sleep(EVERY_MS, undefined, { signal: session.signal });
  }
}
