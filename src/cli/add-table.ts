import { chalkStderr } from 'chalk';
import { requireSlots } from '../control/capacity.js';
import { describeTable } from '../control/describe-table.js';
import { viewPipeline } from '../control/table-view.js';
import { neededQueues } from '../control/workers.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import type { ColumnOptions, TableOptions } from '../domain/replicated-table.js';
import { sqlName, parseTableName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { filterSql } from '../domain/row-filter.js';
import { kafkaOf, stagesOf, type Route } from '../domain/route.js';
import { countAddedLoaders } from '../ledger/tables.js';
import type { Settings } from '../settings/settings.js';
import { ensureSearchAttributes } from '../worker/search-attributes.js';
import { checkTable } from './check-table.js';
import { columnOptionsOf, type WrittenColumnOptions } from './column-options.js';
import { judgeTarget } from './judge-target.js';
import { missingWorkers } from './missing-workers.js';
import { heirsNote } from './plan-picture.js';
import { requireKafkaFor, requireTopicOfOthers } from './require-kafka.js';
import { requireRegistryFor } from './require-registry.js';
import type { Exit } from './exit-code.js';
import { refuseRemoved } from './refuse-removed.js';
import { startChecked } from './start-checked.js';
import { tellOutside } from './tell-outside.js';
import { watchTable } from './watch-table.js';
import { plural } from '../domain/figures.js';
import { given } from '../domain/given.js';
import { routeOptionsOf } from './route-options.js';
import { targetNotes } from './target-notes.js';
import { targetOptionsOf } from './target-options.js';
import type { Session } from './session.js';
import { viewSource, withServers, type Servers } from './servers.js';

export interface AddOptions extends Omit<TableOptions, 'intervalMs' | keyof ColumnOptions>, WrittenColumnOptions {
  /** Milliseconds. */
  readonly interval?: number;
  readonly priority?: CopyPriority;
  readonly wait: boolean;
}

/** Checks the table, starts its workflow, and shows the first load. */
export async function addTable(session: Session, table: string, options: AddOptions): Promise<Exit> {
  const name = parseTableName(table);
  const { pipeline, worker } = session.settings;
  const title = sqlName(name);
  return withServers(session, async (servers) => {
    const { client } = servers.temporal;
    const address = { ...name, pipeline };
    const wanted = tableOptions(options);
    const description = await describeTable(client, workflowIdOf(pipeline, name));
    await refuseRemoved(client, address, description);
    const checked = await checkTable(
      servers,
      { ...address, options: wanted },
      {
        settings: session.settings,
        isAdded: () => Promise.resolve(description?.running === true),
      },
    );
    const { inspection: found, prepared, route } = checked;
    if (!prepared) await judgeTarget(session.settings, name, checked);
    const stages = stagesOf(route);
    const kafka = { title, command: `pg2click add ${shellName(name)}` };
    const addedLoaders = await countAddedLoaders(servers.ledger);
    const [workers] = await Promise.all([
      requireSlots(client, address, { queues: servers.queues, slots: worker.slots, stages, addedLoaders }),
      prepared || !options.wait ? undefined : requireTransport(session.settings, route, kafka),
      prepared || !options.wait ? undefined : requireRegistryFor(session.settings, [route]),
      ensureSearchAttributes(client.connection, client.options.namespace),
    ]);
    const rows = found.estimatedRows === null ? '' : `, about ${plural(found.estimatedRows, 'row')}`;
    session.tell(`${title}: ${plural(found.columns.length, 'column')}, key ${found.key.join(', ')}${rows}`);
    if (found.where !== undefined) session.tell(`${title}: only rows with ${filterSql(found) ?? ''}`);
    if (found.heirs !== undefined) session.tell(heirsNote(title, found.heirs));
    if (!prepared) for (const note of await targetNotes(servers.source, name, checked)) session.tell(note);
    if (!prepared) await tellOutside(session, servers.source, { name, ...found });
    if (wanted.payload === 'key')
      session.tell(
        `Messages hold keys only: the worker that loads ${title} reads its rows from the primary of PostgreSQL. Its role needs SELECT on the table, and loading waits while PostgreSQL is away.`,
      );
    if (found.capture.foreignTopic === true)
      session.tell(
        `${title}: Debezium leaves a TRUNCATE out of its topic, and nothing tells, unless its connector has skipped.operations=none. The worker that loads reads rows from the primary of PostgreSQL where a message does not hold them exactly.`,
      );
    if (found.capture.appendOnly === true)
      session.tell(`${title}: --capture ${found.capture.kind} sees inserts only; updates and deletes do not arrive.`);
    if (found.capture.everyChange === true)
      session.tell(
        `${title}: its log begins with its rows, which PostgreSQL writes into the outbox first, in one transaction. Its room on the disk is needed once more for so long.`,
      );
    const { started, moved } = await startChecked(session, servers, {
      name,
      options: wanted,
      priority: options.priority,
      checked,
    });
    if (moved)
      session.tell(`${title} was added by an older release: its workflow runs on the task queue of this one now.`);
    if (!started && !moved) session.tell(`${title} is replicated already; nothing was changed.`);
    if (!options.wait) return conclude(session, servers, name, started, 'done');

    const missing = await missingWorkers(servers, { counted: workers, stages }, session.signal);
    if (missing.length > 0) {
      session.tell(
        `${chalkStderr.yellow(missing.length === neededQueues(stages).length ? 'No worker runs' : 'A worker is missing')}: nobody polls ${missing.join(', ')}. ` +
          `${title} is added, and begins as soon as one does: pg2click worker`,
      );
      return conclude(session, servers, name, started, 'waiting');
    }
    return conclude(session, servers, name, started, await watchTable(session, servers, name));
  });
}

async function requireTransport(
  settings: Settings,
  route: Route,
  named: { readonly title: string; readonly command: string },
): Promise<void> {
  const kafka = kafkaOf(route);
  if (kafka === undefined) return;
  await requireKafkaFor(settings, named);
  if (route.capture.foreignTopic === true) await requireTopicOfOthers(settings, kafka.topic);
}

async function conclude(
  session: Session,
  servers: Servers,
  name: TableName,
  started: boolean,
  exit: Exit,
): Promise<Exit> {
  if (!session.json) return exit;
  const { tables, workers } = await viewPipeline(viewSource(session, servers), name);
  session.print(JSON.stringify({ started, workers, table: tables[0] ?? null }));
  return exit;
}

/** Those that were given. */
export function tableOptions(options: AddOptions): TableOptions {
  const { interval, key, where, topic, target, cursor, channel } = options;
  return {
    ...routeOptionsOf(options),
    ...targetOptionsOf(options),
    ...columnOptionsOf(options),
    ...given({ key, where, topic, target, cursor, channel, intervalMs: interval }),
  };
}
