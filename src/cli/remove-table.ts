import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import chalk from 'chalk';
import { sendCommand, notReplicated } from '../control/send-command.js';
import { describeTable, queryTable } from '../control/describe-table.js';
import { moveWorkflow } from '../control/move-workflow.js';
import { requireOwnTableWorkflow } from '../control/own-workflow.js';
import { startRemoval } from '../control/start-table.js';
import { viewPipeline } from '../control/table-view.js';
import { countWorkers, missingQueues } from '../control/workers.js';
import type { RemoveReceipt } from '../domain/receipt.js';
import { sqlName, parseTableName, shellName, workflowIdOf } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Answer, TableStatus } from '../../workflows/messages.js';
import type { Exit } from './exit-code.js';
import { requireAccepted } from './request.js';
import { viewSource, withServers, type Servers } from './servers.js';
import { askYes } from './ask-yes.js';
import { whatItWaitsFor } from './removal-wait.js';
import type { Session } from './session.js';

export interface RemoveOptions {
  readonly dropTarget?: boolean;
  readonly yes?: boolean;
}

/** Asks the person, then the workflow, and waits until the table is gone. */
export async function removeTable(session: Session, table: string, options: RemoveOptions): Promise<Exit> {
  const name = parseTableName(table);
  const { pipeline } = session.settings;
  const dropTarget = options.dropTarget === true;
  const title = sqlName(name);
  return withServers(session, async (servers) => {
    const {
      temporal: { client },
      queues,
      deployment,
    } = servers;
    await requireOwnTableWorkflow(client, { ...name, pipeline }, deployment);
    await moveWorkflow(client, { ...name, pipeline }, queues.workflow);
    const [view] = (await viewPipeline(viewSource(session, servers), name)).tables;
    if (view === undefined) throw notReplicated({ ...name, pipeline });
    if (options.yes !== true) await confirm(session, title, dropTarget, view.target);

    const message: Record<string, boolean> = dropTarget ? { dropTarget } : {};
    let answer: Answer | undefined;
    if (view.phase === 'stopped')
      await startRemoval(client, { ...name, pipeline, taskQueue: queues.workflow }, { dropTarget });
    else answer = await sendCommand(client, { ...name, pipeline, action: 'remove', message });
    requireAccepted(name, answer);
    const { exit, receipt } = await waitForEnd(session, servers, {
      workflowId: workflowIdOf(pipeline, name),
      isRemoving: view.phase === 'stopped' || answer !== undefined,
    });
    const text = {
      done: `${chalk.green('✔')} ${sentenceOf(title, receipt)}`,
      waiting: 'Accepted; no worker runs, so it takes effect when one does.',
      unhealthy: `${chalk.red('✖')} The removal of ${title} is parked: see pg2click status ${shellName(name)}`,
      failed: `The workflow of ${title} ended without removing it.`,
    }[exit];
    const { dropped = null, kept = null } = receipt ?? {};
    session.print(
      session.json ? JSON.stringify({ table: title, removed: exit === 'done', dropTarget, exit, dropped, kept }) : text,
    );
    return exit;
  });
}

/** What became of the table and of its objects in ClickHouse. */
function sentenceOf(title: string, receipt: RemoveReceipt | undefined): string {
  if (receipt === undefined)
    return `${title} is removed. What was dropped in ClickHouse is not known: an attempt of the removal was lost, or a worker of an older release made it.`;
  const { dropped, kept } = receipt;
  const went =
    dropped.length === 0 ? 'nothing was dropped in ClickHouse' : `dropped in ClickHouse: ${dropped.join(', ')}`;
  return [`${title} is removed; ${went}.`, ...kept.map(({ name, why }) => `${name} stays: ${why}.`)].join(' ');
}

async function confirm(session: Session, title: string, dropTarget: boolean, target: string | null): Promise<void> {
  const what = dropTarget
    ? `Its ClickHouse table${target === null ? '' : ` ${target}`} is dropped too, with floor and view, as far as pg2click made them.`
    : 'The ClickHouse table stays.';
  if (!process.stdin.isTTY || session.json) {
    throw new Failure('Misconfigured', {
      message: `Removing ${title} needs --yes where nobody can be asked.`,
      remedy: `Give --yes to go on. ${what}`,
    });
  }
  if (await askYes(session, `Remove ${title}? Its triggers and outbox go; the topic stays. ${what} [y/N] `)) return;
  throw new Failure('Misconfigured', { message: `Nothing was changed: ${title} was not confirmed.` });
}

interface Ending {
  readonly exit: 'done' | 'waiting' | 'unhealthy' | 'failed';
  /** Absent where nobody knows. */
  readonly receipt?: RemoveReceipt | undefined;
}

const FAILED: Ending = { exit: 'failed' };

/** @param isRemoving the workflow has taken the request; until it has, a table that is parked was parked before */
async function waitForEnd(
  session: Session,
  { temporal, queues }: Servers,
  { workflowId, isRemoving }: { readonly workflowId: string; readonly isRemoving: boolean },
): Promise<Ending> {
  const { client } = temporal;
  let began = isRemoving;
  for (let look = 0; ; look++) {
    const description = await describeTable(client, workflowId);
    if (description?.running !== true) {
      if (description?.ended !== 'COMPLETED') return FAILED;
      return { exit: 'done', receipt: await readReceipt(client, workflowId, description.runId) };
    }
    began ||= description.phase === 'removing';
    if (description.phase === 'parked') {
      // A removal may begin and be parked between two looks: the workflow knows.
      if (!began && look % 20 === 0) began = await isRemovalParked(client, workflowId);
      if (began) return { exit: 'unhealthy' };
    }
    if (look % 20 === 0) {
      const missing = missingQueues(await countWorkers(client, queues));
      if (missing.some((queue) => queue !== queues.consumer)) return { exit: 'waiting' };
    }
    if (look % 20 === 10) session.warn(whatItWaitsFor(description.pending, began));
    await sleep(250, undefined, { signal: session.signal });
  }
}

async function isRemovalParked(client: Client, workflowId: string): Promise<boolean> {
  const status = await queryTable(client, workflowId);
  return status?.parks.some(({ where }) => where === 'remove') === true;
}

/** A workflow of an older release ends without one. */
async function readReceipt(client: Client, workflowId: string, runId: string): Promise<RemoveReceipt | undefined> {
  const status: Partial<TableStatus> = await client.workflow.getHandle(workflowId, runId).result();
  return status.removal ?? undefined;
}
