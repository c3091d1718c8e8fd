import chalk from 'chalk';
import { planChange, type ChangePlan } from '../../activities/plan-change.js';
import { LOADERS } from '../clickhouse/loaders.js';
import { describeTable, queryTable } from '../control/describe-table.js';
import { requireOwnTableWorkflow } from '../control/own-workflow.js';
import { notReplicated, sendCommand } from '../control/send-command.js';
import { viewTable, type TableView } from '../control/table-view.js';
import { given } from '../domain/given.js';
import { describeChange, describeRoute } from '../domain/route-choice.js';
import { type Route } from '../domain/route.js';
import { changeKindOf, type ChangeKind, type RouteOptions } from '../domain/route-change.js';
import { sqlName, parseTableName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { readStanding } from '../ledger/registration.js';
import { CAPTURES } from '../source/captures.js';
import { busyWith, LEAVING } from '../../workflows/request.js';
import type { Exit } from './exit-code.js';
import { requireRegistryFor } from './require-registry.js';
import { requireAccepted } from './request.js';
import { refuseTargetOptions, type StoredOptions } from './refuse-target-options.js';
import { routeOptionsOf } from './route-options.js';
import { viewSource, withServers, type Servers } from './servers.js';
import type { Session } from './session.js';
import { watchTable } from './watch-table.js';

export interface ConfigureOptions extends Omit<RouteOptions, 'intervalMs'>, StoredOptions {
  /** Milliseconds. */
  readonly interval?: number;
  readonly dryRun?: boolean;
  readonly wait: boolean;
}

/** Plans the change, asks the table's workflow for it, and shows how it goes. */
export async function configureTable(session: Session, table: string, given: ConfigureOptions): Promise<Exit> {
  const name = parseTableName(table);
  const { settings } = session;
  const { pipeline } = settings;
  const title = sqlName(name);
  refuseTargetOptions(name, given);
  const options = optionsOf(given);
  return withServers(session, async (servers) => {
    const { client } = servers.temporal;
    await requireOwnTableWorkflow(client, { ...name, pipeline }, servers.deployment);
    const { before, plan } = await makePlan(session, servers, name, options);
    const says = sentenceOf(plan.kind, before, plan.route);
    if (given.dryRun === true || plan.kind === 'none') {
      const dryRun = given.dryRun === true;
      if (dryRun && plan.kind !== 'none') await refuseNow(session, servers, name);
      session.print(
        session.json
          ? JSON.stringify({ table: title, dryRun, changed: false, change: plan.kind, says, route: plan.route })
          : `${title}: ${says}`,
      );
      // A change under way ends where the table has what is wanted: the workflow must be told.
      if (dryRun || !(await isChanging(servers, pipeline, name))) return 'done';
    }
    session.tell(`${title}: ${says}`);
    const answer = await sendCommand(client, { ...name, pipeline, action: 'configure', message: options });
    requireAccepted(name, answer);
    const watched = answer === undefined ? 'waiting' : given.wait ? await watchTable(session, servers, name) : 'done';
    if (answer === undefined) session.tell('Accepted; no worker answered, so it takes effect when one runs.');
    const view = given.wait ? await viewTable(viewSource(session, servers), name, { asks: true }) : undefined;
    const exit =
      watched === 'done' && given.wait ? await conclude(session, servers, { name, view, plan, before }) : watched;
    if (session.json) {
      const changed = answer?.changed ?? null;
      session.print(
        JSON.stringify({ table: title, dryRun: false, changed, change: plan.kind, says, exit, view: view ?? null }),
      );
    }
    return exit;
  });
}

interface Planned {
  readonly before: Route;
  readonly plan: ChangePlan;
}

async function makePlan(
  { settings }: Session,
  { source, ledger }: Servers,
  name: TableName,
  options: RouteOptions,
): Promise<Planned> {
  const { table, ready } = await readStanding(ledger, settings.pipeline, name);
  if (table === undefined) throw notReplicated({ ...name, pipeline: settings.pipeline });
  const title = sqlName(name);
  if (!ready)
    throw new Failure('UnsuitableTable', {
      message: `${title} is not prepared yet: there is no route to change.`,
      remedy: `See what it waits for: pg2click status ${shellName(name)}`,
    });
  const plan = await planChange({ source, ledger, settings, captures: CAPTURES, loaders: LOADERS }, table, options);
  if ('why' in plan)
    throw new Failure('UnsuitableTable', {
      message: `${title} cannot be changed so. ${plan.why}`,
      remedy: [plan.wayOut, 'Nothing was changed: the table goes on as it is.'].filter(Boolean).join('. '),
    });
  if (plan.kind !== 'none') await requireRegistryFor(settings, [plan.route]);
  return { before: table.route, plan };
}

/** What the workflow would refuse for what it does now. @throws Failure `UnsuitableTable` */
async function refuseNow(session: Session, { temporal }: Servers, name: TableName): Promise<void> {
  const status = await queryTable(temporal.client, workflowIdOf(session.settings.pipeline, name));
  if (status === undefined) {
    session.tell('No worker answered: whether a replay, or a change of loaders, is under way is not known.');
    return;
  }
  const isLeaving = status.phase === 'removing' || status.phase === 'removed';
  const message = isLeaving ? LEAVING : busyWith(status, status.paused !== null);
  if (message !== undefined)
    throw new Failure('UnsuitableTable', {
      message: `${sqlName(name)} cannot be changed now. ${message}`,
      remedy: `See what the table does: pg2click status ${shellName(name)}`,
    });
}

/** What happens, and what it costs. */
function sentenceOf(kind: ChangeKind, before: Route, after: Route): string {
  const way = describeChange(before, after);
  const what: Readonly<Record<ChangeKind, string>> = {
    none: 'it travels so already; nothing to change.',
    messages: `${way}: the next batch is sent in the new form. Messages that are in the topic are loaded as they are.`,
    'to-direct': `${way}: the outbox waits until the topic is loaded to its end. Nothing is copied; the topic stays.`,
    'to-kafka': `${way}: the next batch goes to the topic. Nothing is copied.`,
    wake: `${way}: reading goes on where it stands. Nothing is copied.`,
    'next-generation': `${way}: a new generation begins. The whole table is copied once; the old rows stay visible until that is done.`,
    overlap: `${way}: both see its changes for a while, then the one before is taken away. Nothing is copied.`,
    growing: `${way}: the outbox is drained and loaded first; then only rows that are inserted later arrive. Nothing is copied.`,
  };
  return what[kind];
}

/** The workflow may have refused, at a later look, what the command had found possible. */
async function conclude(
  session: Session,
  { ledger }: Servers,
  known: Planned & { readonly name: TableName; readonly view: TableView | undefined },
): Promise<Exit> {
  const { name, view, plan, before } = known;
  if (view?.phase === 'paused') return 'done';
  const title = sqlName(name);
  const { table } = await readStanding(ledger, session.settings.pipeline, name);
  if (table === undefined || changeKindOf(table.route, plan.route) !== 'none') {
    const message = `${title} was not changed. ${view?.ignored?.problem ?? ''}`.trimEnd();
    throw new Failure('UnsuitableTable', { message, remedy: 'The table goes on as it is.' });
  }
  const isSameWay = describeRoute(before) === describeRoute(plan.route);
  const done = isSameWay
    ? `is changed: ${describeChange(before, plan.route)}`
    : `travels by ${describeRoute(plan.route)} now`;
  if (!session.json) session.print(`${chalk.green('✔')} ${title} ${done}.`);
  return 'done';
}

async function isChanging({ temporal }: Servers, pipeline: string, name: TableName): Promise<boolean> {
  const description = await describeTable(temporal.client, workflowIdOf(pipeline, name));
  return description?.phase === 'configuring' || description?.phase === 'parked' || description?.phase === 'paused';
}

function optionsOf(options: ConfigureOptions): RouteOptions {
  const { interval: intervalMs, cursor, channel, topic, appendOnly } = options;
  return { ...routeOptionsOf(options), ...given({ cursor, channel, topic, appendOnly, intervalMs }) };
}
