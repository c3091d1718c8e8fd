import type { Client } from '@temporalio/client';
import chalk from 'chalk';
import { connectPostgres, ledgerSettings } from '../connect/postgres.js';
import { describeTable } from '../control/describe-table.js';
import { requireOwnWorkflow } from '../control/own-workflow.js';
import { temporalCommand } from '../control/temporal-command.js';
import { sendCommand, type TableRequest } from '../control/send-command.js';
import { deploymentOf, type Deployment } from '../domain/deployment.js';
import type { TableAddress } from '../domain/receipt.js';
import { sqlName, parseTableName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { findTable } from '../ledger/tables.js';
import type { Answer } from '../../workflows/messages.js';
import { readDeployment } from '../source/deployment.js';
import type { Exit } from './exit-code.js';
import { withTemporal } from './servers.js';
import type { Session } from './session.js';

export function pauseTable(session: Session, table: string, { reason }: { readonly reason?: string }): Promise<Exit> {
  return sendRequest(session, table, { action: 'pause', message: reason === undefined ? {} : { reason } });
}

export function resumeTable(session: Session, table: string, _options: object): Promise<Exit> {
  return sendRequest(session, table, { action: 'resume', message: {} });
}

/**
 * PostgreSQL says who we are, so it is asked only where the workflow belongs to a deployment. Where it does not answer, the
 * workflow may be that of another database: nothing is sent.
 * @throws Failure `Misconfigured` the workflow is another deployment's; those of PostgreSQL
 */
async function requireOwn(session: Session, client: Client, table: TableAddress): Promise<void> {
  const workflowId = workflowIdOf(table.pipeline, table);
  const description = await describeTable(client, workflowId);
  if (description?.running !== true) return;
  const deployment = deploymentOf(description.taskQueue);
  if (deployment === undefined) return;
  requireOwnWorkflow(
    client,
    workflowId,
    description,
    await askDeployment(session, { workflowId, deployment, namespace: client.options.namespace }),
  );
}

async function askDeployment(
  { settings, signal }: Session,
  asked: { readonly workflowId: string; readonly deployment: string; readonly namespace: string },
): Promise<Deployment> {
  try {
    await using pg = await connectPostgres(settings, { name: 'cli', signal });
    return await readDeployment(pg, settings.pipeline);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { workflowId, deployment, namespace } = asked;
    throw new Failure(error.kind, {
      message: `${error.message} Without it nobody can say whether the workflow ${workflowId} of deployment ${deployment} is that of this database: nothing was sent.`,
      remedy: `If it is, send the signal by Temporal's own command: ${temporalCommand(`workflow signal -w ${workflowId} --name pause`, namespace)} (or resume).`,
      cause: error,
    });
  }
}

/** Sends a request to a table's workflow. @returns the answer; undefined where no worker answered. @throws Failure as `requireAccepted` */
export async function requestTable(
  session: Session,
  client: Client,
  name: TableName,
  request: Pick<TableRequest, 'action' | 'message' | 'requestId'>,
): Promise<Answer | undefined> {
  const { pipeline } = session.settings;
  try {
    await requireOwn(session, client, { ...name, pipeline });
    const answer = await sendCommand(client, { ...name, pipeline, ...request });
    requireAccepted(name, answer);
    return answer;
  } catch (error) {
    throw (await explainStopped(session, name, error)) ?? error;
  }
}

/** Sends a request to a table's workflow and shows the answer. */
export async function sendRequest(
  session: Session,
  table: string,
  request: Pick<TableRequest, 'action' | 'message'>,
): Promise<Exit> {
  const name = parseTableName(table);
  const answer = await withTemporal(session, ({ client }) => requestTable(session, client, name, request));
  return showAnswer(session, answer);
}

/** @throws Failure where the workflow refused: as for whatever a command itself refuses */
export function requireAccepted(name: TableName, answer: Answer | undefined): void {
  if (answer?.accepted !== false) return;
  const { message, kind = 'UnsuitableTable' } = answer;
  throw new Failure(kind, { message, remedy: `See what the table does: pg2click status ${shellName(name)}` });
}

/** @returns how it ended */
export function showAnswer(session: Session, answer: Answer | undefined): Exit {
  if (session.json) {
    session.print(JSON.stringify({ accepted: answer?.accepted ?? true, answered: answer !== undefined, ...answer }));
  } else if (answer === undefined) {
    session.print(`Accepted; no worker answered, so it takes effect when one runs.`);
  } else {
    session.print(`${chalk.green('✔')} ${answer.message}`);
  }
  return answer === undefined ? 'waiting' : 'done';
}

/** A table whose workflow does not run may still be in the ledger: `status` calls it stopped, and so does this. */
async function explainStopped(session: Session, name: TableName, error: unknown): Promise<Failure | undefined> {
  if (!(error instanceof Failure) || error.kind !== 'MissingTable') return undefined;
  const { settings, signal } = session;
  try {
    await using pg = await connectPostgres(ledgerSettings(settings), { name: 'cli', signal });
    if ((await findTable(pg, settings.pipeline, name)) === undefined) return undefined;
  } catch {
    // Without the ledger it stays at what Temporal knows.
    return undefined;
  }
  const title = sqlName(name);
  const command = shellName(name);
  return new Failure('MissingTable', {
    message: `${title} is stopped: its workflow does not run, and changes fill its outbox.`,
    remedy: `"pg2click add ${command}" starts it again, "pg2click remove ${command}" ends it.`,
  });
}
