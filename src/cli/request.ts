import { chalkStderr } from 'chalk';
import { sendCommand, type TableRequest } from '../control/send-command.js';
import { parseTableName } from '../domain/table-name.js';
import type { Exit } from './exit-code.js';
import { withTemporal } from './servers.js';
import type { Session } from './session.js';

/** Sends a request to a table's workflow and tells the answer. */
export async function requestOf(
  session: Session,
  table: string,
  { action, message }: Pick<TableRequest, 'action' | 'message'>,
): Promise<Exit> {
  const name = parseTableName(table);
  const { pipeline } = session.settings;
  const answer = await withTemporal(session, ({ client }) =>
    sendCommand(client, { ...name, pipeline, action, message }),
  );
  if (session.json) {
    session.print(JSON.stringify({ accepted: answer?.accepted ?? true, answered: answer !== undefined, ...answer }));
  } else if (answer === undefined) {
    session.print(`Accepted; no worker answered, so it takes effect when one runs.`);
  } else {
    const mark = answer.accepted ? chalkStderr.green('✔') : chalkStderr.red('✖');
    session.print(`${mark} ${answer.message}`);
  }
  if (answer === undefined) return 'waiting';
  return answer.accepted ? 'done' : 'failed';
}
