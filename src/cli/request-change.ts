import type { Client } from '@temporalio/client';
import type { TableRequest } from '../control/send-command.js';
import { withdrawalCommand } from '../control/withdrawal-command.js';
import { sqlName, shellName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Change, ChangeOutcome } from '../../workflows/changes.js';
import type { Exit } from './exit-code.js';
import { pollStatus } from './poll-status.js';
import { requestTable, showAnswer } from './request.js';
import type { Session } from './session.js';

type ChangeCommand = Pick<TableRequest, 'action' | 'message'> & { readonly requestId: string };

/**
 * Sends a request for a change, and waits until that is made or refused. Nothing is made while the table is paused: that is said, and
 * not waited for.
 * @returns how the change ended; else what the command ends with, and the person knows why
 * @throws Failure what refused it; `Fenced` another request has withdrawn it
 */
export async function requestChange(
  session: Session,
  client: Client,
  name: TableName,
  request: ChangeCommand,
): Promise<ChangeOutcome | Exit> {
  const answer = await requestTable(session, client, name, request);
  const seen = answer === undefined ? undefined : await waitForChange(session, client, name, request.requestId);
  if (answer === undefined || seen === undefined) return showAnswer(session, undefined);
  if ('changed' in seen) return seen.changed;
  const command = withdrawalCommand(name, seen.waiting);
  const message = `${sqlName(name)} is paused: this takes effect after pg2click resume ${shellName(name)}.`;
  const way = command === null ? '' : ` Withdraw it: ${command}`;
  session.print(session.json ? JSON.stringify({ ...answer, answered: true, waits: true, message }) : message + way);
  return 'waiting';
}

type Seen = { readonly changed: ChangeOutcome } | { readonly waiting: Change };

/** @returns undefined where nobody answers any more: the change goes on by itself when a worker does. @throws Failure as `requestChange` */
async function waitForChange(
  session: Session,
  client: Client,
  name: TableName,
  requestId: string,
): Promise<Seen | undefined> {
  let own: Change | undefined;
  try {
    return await pollStatus<Seen>(session, client, name, ({ change, changed, paused, running }) => {
      if (changed?.requestId === requestId) {
        if (changed.failure !== null) throw new Failure(changed.failure.kind, changed.failure);
        return { changed };
      }
      if (change?.requestId !== requestId)
        throw new Failure('Fenced', {
          message: `Another request for ${sqlName(name)} has taken the place of this one: it was withdrawn, or its end was not seen.`,
          remedy: `See what the table has now: pg2click status ${shellName(name)}`,
        });
      own = change;
      // An activity that is being stopped may still end well.
      return paused === null || running.includes(change.task) ? undefined : { waiting: change };
    });
  } finally {
    if (session.signal.aborted) session.tell(interruptedText(name, own));
  }
}

function interruptedText(name: TableName, change: Change | undefined): string {
  const command = change === undefined ? null : withdrawalCommand(name, change);
  const way =
    command === null ? `see what becomes of it: pg2click status ${shellName(name)}` : `withdraw it: ${command}`;
  return `No longer waiting; the request stays, and is made as soon as that is possible; ${way}`;
}
