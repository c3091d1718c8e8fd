import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { notReplicated } from '../control/send-command.js';
import { requireOwnTableWorkflow } from '../control/own-workflow.js';
import { viewPipeline, type PipelineView } from '../control/table-view.js';
import { missingQueues } from '../control/workers.js';
import { parseTableName, type TableName } from '../domain/table-name.js';
import type { Exit } from './exit-code.js';
import { withLateLoaders } from './late-loaders.js';
import { viewSource, withServers } from './servers.js';
import type { Session } from './session.js';
import { drawPipeline, drawTable } from './status-picture.js';

export interface StatusOptions {
  readonly watch?: boolean;
}

const WATCH_EVERY_MS = 1_000;

/** Shows a table, or all, once or until Ctrl-C. */
export async function showStatus(
  session: Session,
  table: string | undefined,
  { watch = false }: StatusOptions,
): Promise<Exit> {
  const name = table === undefined ? undefined : parseTableName(table);
  const { json, signal } = session;
  return withServers(session, async (servers) => {
    const source = viewSource(session, servers);
    const live = watch && !json && process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
    let before: PipelineView | undefined;
    for (;;) {
      const found = await viewPipeline(source, name);
      // Of one table: Kafka is asked about each topic.
      const view =
        name === undefined || watch
          ? found
          : { ...found, tables: await Promise.all(found.tables.map((each) => withLateLoaders(session, each))) };
      if (name !== undefined && view.tables.length === 0) {
        const address = { ...name, pipeline: source.pipeline };
        await requireOwnTableWorkflow(source.client, address, servers.deployment);
        throw notReplicated(address);
      }
      const text = json ? JSON.stringify(view) : draw(view, before, name);
      if (live === undefined) session.print(text);
      else live(text);
      if (!watch) return isWell(view) ? 'done' : 'unhealthy';
      before = view;
      // Ctrl-C is how watching ends: no failure.
      await sleep(WATCH_EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) {
        live?.done();
        return 'done';
      }
    }
  });
}

function draw(view: PipelineView, before: PipelineView | undefined, name: TableName | undefined): string {
  const [only] = view.tables;
  return name === undefined || only === undefined ? drawPipeline(view, before) : drawTable(only, view, before);
}

function isWell({ tables, workers }: PipelineView): boolean {
  return tables.every(
    ({ phase, failure, answering, stages }) =>
      answering &&
      failure === null &&
      missingQueues(workers, stages).length === 0 &&
      !['parked', 'stopped', 'unknown'].includes(phase),
  );
}
