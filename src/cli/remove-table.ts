import { setTimeout as sleep } from 'node:timers/promises';
import { createInterface } from 'node:readline/promises';
import { chalkStderr } from 'chalk';
import { sendCommand, notReplicated } from '../control/send-command.js';
import { describeTable } from '../control/describe-table.js';
import { startRemoval } from '../control/start-table.js';
import { viewPipeline } from '../control/table-view.js';
import { countWorkers, missingQueues } from '../control/workers.js';
import { formatTableName, parseTableName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Answer } from '../../workflows/messages.js';
import type { Exit } from './exit-code.js';
import { withServers, type Servers } from './servers.js';
import type { Session } from './session.js';

export interface RemoveOptions {
  readonly dropTarget?: boolean;
  readonly yes?: boolean;
}

/** Asks the person, then the workflow, and waits until the table is gone. */
export async function removeTable(session: Session, table: string, options: RemoveOptions): Promise<Exit> {
  const name = parseTableName(table);
  const { pipeline, temporal } = session.settings;
  const dropTarget = options.dropTarget === true;
  const title = formatTableName(name);
  return withServers(session, async (servers) => {
    const { client } = servers.temporal;
    const source = { pg: servers.pg, client, pipeline, queues: servers.queues, uiUrl: temporal.uiUrl };
    const [view] = (await viewPipeline(source, name)).tables;
    if (view === undefined) throw notReplicated({ ...name, pipeline });
    if (options.yes !== true) await confirm(session, title, dropTarget ? view.target : null);

    const message: Record<string, boolean> = dropTarget ? { dropTarget } : {};
    let answer: Answer | undefined;
    if (view.phase === 'stopped')
      await startRemoval(client, { ...name, pipeline, taskQueue: servers.queues.workflow }, { dropTarget });
    else answer = await sendCommand(client, { ...name, pipeline, action: 'remove', message });
    const exit = answer?.accepted === false ? 'failed' : await waitForEnd(session, servers, name);
    const text = {
      done: `${chalkStderr.green('✔')} ${title} is removed${dropTarget ? ', its target dropped' : '; its target stays'}.`,
      waiting: 'Accepted; no worker runs, so it takes effect when one does.',
      unhealthy: `${chalkStderr.red('✖')} The removal of ${title} is parked: see pg2click status ${title}`,
      failed: answer?.message ?? `The workflow of ${title} ended without removing it.`,
    }[exit];
    session.print(session.json ? JSON.stringify({ table: title, removed: exit === 'done', dropTarget, exit }) : text);
    return exit;
  });
}

async function confirm(session: Session, title: string, dropped: string | null): Promise<void> {
  const what = dropped === null ? 'The ClickHouse table stays.' : `The ClickHouse table ${dropped} is dropped too.`;
  if (!process.stdin.isTTY || session.json) {
    throw new Failure('Misconfigured', {
      message: `Removing ${title} needs --yes where nobody can be asked.`,
      remedy: what,
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = `Remove ${title}? Its triggers and outbox go; the topic stays. ${what} [y/N] `;
    const answer = await terminal.question(question, { signal: session.signal });
    if (/^y(?:es)?$/iu.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new Failure('Misconfigured', { message: `Nothing was changed: ${title} was not confirmed.` });
}

async function waitForEnd(
  session: Session,
  { temporal, queues }: Servers,
  name: TableName,
): Promise<'done' | 'waiting' | 'unhealthy' | 'failed'> {
  const workflowId = workflowIdOf(session.settings.pipeline, name);
  for (let look = 0; ; look++) {
    const description = await describeTable(temporal.client, workflowId);
    if (description?.running !== true) return description?.ended === 'COMPLETED' ? 'done' : 'failed';
    if (description.phase === 'parked') return 'unhealthy';
    if (look % 20 === 0) {
      const missing = missingQueues(await countWorkers(temporal.client, queues));
      if (missing.some((queue) => queue !== queues.consumer)) return 'waiting';
    }
    const retried = description.pending.find(({ task, failure }) => task === 'remove' && failure !== undefined);
    if (retried?.failure !== undefined && look % 20 === 10) session.tell(`retrying: ${retried.failure.message}`);
    await sleep(250, undefined, { signal: session.signal });
  }
}
