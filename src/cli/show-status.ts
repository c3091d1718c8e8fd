import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { connectTemporal, type TemporalClient } from '../connect/temporal.js';
import { viewLedger } from '../control/ledger-view.js';
import { requireOwnTableWorkflow } from '../control/own-workflow.js';
import { notReplicated } from '../control/send-command.js';
import { viewPipeline, type PipelineView, type TableView } from '../control/table-view.js';
import { parseTableName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import type { Exit } from './exit-code.js';
import { fitScreen } from './fit-screen.js';
import { withLateLoaders } from './late-loaders.js';
import { explainServerError, viewSource, withDatabases, type DatabaseServers } from './servers.js';
import type { Session } from './session.js';
import { drawPipeline, drawTable } from './status-picture.js';
import { isWell } from './trouble.js';

export interface StatusOptions {
  readonly watch?: boolean;
  /** Only tables that are not well. */
  readonly trouble?: boolean;
  readonly phase?: TableView['phase'];
}

const WATCH_EVERY_MS = 1_000;

/** Shows a table, or all, once or until Ctrl-C. */
export async function showStatus(session: Session, table: string | undefined, options: StatusOptions): Promise<Exit> {
  const name = table === undefined ? undefined : parseTableName(table);
  const { watch = false, trouble = false, phase } = options;
  if (table !== undefined && (trouble || phase !== undefined))
    throw new Failure('Misconfigured', {
      message: '--trouble and --phase choose from all tables.',
      remedy: 'Leave the name of the table out, or leave them out.',
    });
  const { json, signal } = session;
  return withDatabases(session, async (databases) => {
    await using looks = new Looks(session, databases);
    const live = watch && !json && process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
    let before: PipelineView | undefined;
    for (;;) {
      const found = await looks.look(name);
      // Of one table: Kafka is asked about each topic.
      const view =
        name === undefined || watch
          ? chosenOf(found, options)
          : { ...found, tables: await Promise.all(found.tables.map((each) => withLateLoaders(session, each))) };
      const text = json ? JSON.stringify(view) : draw(view, found, before, name);
      if (live === undefined) session.print(text);
      else live(fitScreen(text, process.stdout, 'a larger window, or --trouble'));
      if (!watch) return endOf(view);
      before = found;
      // Ctrl-C is how watching ends: no failure.
      await sleep(WATCH_EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) {
        live?.done();
        return 'done';
      }
    }
  });
}

/** Looks at the tables, with Temporal where it answers: it may go and come back while somebody watches. */
class Looks implements AsyncDisposable {
  readonly #session: Session;
  readonly #databases: DatabaseServers;
  #temporal: TemporalClient | undefined;

  constructor(session: Session, databases: DatabaseServers) {
    this.#session = session;
    this.#databases = databases;
  }

  /** @throws Failure those of PostgreSQL; `Misconfigured` where no such table is replicated */
  async look(name: TableName | undefined): Promise<PipelineView> {
    const { settings } = this.#session;
    try {
      this.#temporal ??= await connectTemporal(settings);
      const servers = { ...this.#databases, temporal: this.#temporal };
      const source = viewSource(this.#session, servers);
      const view = await viewPipeline(source, name);
      if (name !== undefined && view.tables.length === 0) {
        const address = { ...name, pipeline: source.pipeline };
        await requireOwnTableWorkflow(source.client, address, servers.deployment);
        throw notReplicated(address);
      }
      return view;
    } catch (error) {
      const failure = explainServerError(error, this.#session);
      if (!(failure instanceof Failure) || failure.kind !== 'TemporalUnavailable') throw failure;
      const view = await viewLedger({ ...this.#databases, pipeline: settings.pipeline }, failure, name);
      // Whether Temporal knows a table that the ledger does not is not known.
      if (name !== undefined && view.tables.length === 0) throw failure;
      return view;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temporal?.close();
  }
}

function endOf({ outage, tables, workers }: PipelineView): Exit {
  if (outage !== null) return 'unreachable';
  return tables.every((each) => isWell(each, workers)) ? 'done' : 'unhealthy';
}

function chosenOf(view: PipelineView, { trouble = false, phase }: StatusOptions): PipelineView {
  const tables = view.tables
    .filter((table) => !trouble || !isWell(table, view.workers))
    .filter((table) => phase === undefined || table.phase === phase);
  return { ...view, tables };
}

/** @param found with the tables that are left out */
function draw(
  view: PipelineView,
  found: PipelineView,
  before: PipelineView | undefined,
  name: TableName | undefined,
): string {
  const [only] = view.tables;
  if (name !== undefined && only !== undefined) return drawTable(only, view, before);
  return drawPipeline(view, { before, all: found.tables.length });
}
