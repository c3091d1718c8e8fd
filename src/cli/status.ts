import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import { notReplicated } from '../control/ask-table.js';
import { viewPipeline, type PipelineView } from '../control/table-view.js';
import { parseTableName, type TableName } from '../domain/table-name.js';
import type { Exit } from './exit-code.js';
import { withServers } from './servers.js';
import { runCommand, type Session } from './session.js';
import { drawPipeline, drawTable } from './status-picture.js';

interface StatusOptions {
  readonly watch?: boolean;
}

const WATCH_EVERY_MS = 1_000;

export function statusCommand(): Command {
  return new Command('status')
    .summary('show where the tables stand')
    .description(
      'Shows every table of the pipeline, or one in detail: phase, rows, what waits, lag, and what holds it up. It asks the ' +
        'ledger and Temporal first, then the workflow; it works without a worker too, and says so.',
    )
    .argument('[table]', 'one table, in detail')
    .option('-w, --watch', 'keep looking, every second, until Ctrl-C')
    .option('--json', 'print one JSON object (with --watch one a line)')
    .addHelpText(
      'after',
      `
Exit code 0 when every table is well or paused, 4 when one is parked or retried, or no worker answers.

Examples:
  pg2click status
  pg2click status shop.orders --watch
  pg2click status --json | jq '.tables[] | select(.phase == "parked")'`,
    )
    .action((table: string | undefined, options: StatusOptions, command: Command) =>
      runCommand(command, (session) =>
        status(session, table === undefined ? undefined : parseTableName(table), options),
      ),
    );
}

async function status(session: Session, name: TableName | undefined, { watch = false }: StatusOptions): Promise<Exit> {
  const { settings, json, signal } = session;
  return withServers(session, async ({ pg, temporal }) => {
    const source = { pg, client: temporal.client, pipeline: settings.pipeline, uiUrl: settings.temporal.uiUrl };
    const live = watch && !json && process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
    let before: PipelineView | undefined;
    for (;;) {
      const view = await viewPipeline(source, name);
      if (name !== undefined && view.tables.length === 0) throw notReplicated({ ...name, pipeline: settings.pipeline });
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

function isWell({ tables }: PipelineView): boolean {
  return tables.every(
    ({ phase, failure, answering }) =>
      answering && failure === null && !['parked', 'stopped', 'unknown'].includes(phase),
  );
}
