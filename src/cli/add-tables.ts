import { requireSlots } from '../control/capacity.js';
import { count, plural } from '../domain/figures.js';
import { kafkaOf, stagesOf, type StageSpec } from '../domain/route.js';
import { quoteShell } from '../domain/table-name.js';
import { hasWildcards } from '../domain/table-pattern.js';
import { Failure } from '../failure/failure.js';
import { countAddedLoaders } from '../ledger/tables.js';
import { ensureSearchAttributes } from '../worker/search-attributes.js';
import { ADDED_AT_ONCE, addPlanned, type AddedTable } from './add-planned.js';
import { addTable, tableOptions, type AddOptions } from './add-table.js';
import type { Exit } from './exit-code.js';
import { missingWorkers } from './missing-workers.js';
import { drawPlan } from './plan-picture.js';
import { planAsData, resultAsData } from './plan-data.js';
import { plannedTo, planTables, type PlannedTable } from './plan-tables.js';
import { requireKafkaFor } from './require-kafka.js';
import { requireRegistryFor } from './require-registry.js';
import { withServers, type Servers } from './servers.js';
import { askYes } from './ask-yes.js';
import { tellOutside } from './tell-outside.js';
import type { Session } from './session.js';

export interface AddTablesOptions extends AddOptions {
  readonly exclude?: readonly string[];
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** One name is added as it is. Several, and patterns: all are looked at, shown as one table, and added when the person agrees. */
export async function addTables(
  session: Session,
  patterns: readonly string[],
  options: AddTablesOptions,
): Promise<Exit> {
  const { exclude = [], yes = false, dryRun = false } = options;
  const [only] = patterns;
  if (only !== undefined && patterns.length === 1 && !hasWildcards(only) && exclude.length === 0 && !dryRun)
    return addTable(session, only, options);
  if (patterns.length > 1 || patterns.some(hasWildcards)) refuseOptionsOfOne(options);
  return withServers(session, async (servers) => {
    const plan = await planTables(session, servers, { patterns, exclude, options: tableOptions(options) });
    const added = plannedTo(plan, 'add');
    const ends = dryRun || added.length === 0;
    // What was asked for is the result; else it is what the question is about.
    if (dryRun && !session.json) session.print(drawPlan(plan));
    else session.tell(drawPlan(plan));
    for (const { table, checked } of added)
      if (!checked.prepared) await tellOutside(session, servers.source, { name: table.name, ...checked.inspection });
    if (!ends && !yes) {
      const refusal = await askPerson(session, added.length);
      if (refusal !== undefined) {
        if (!session.json) throw refusal;
        session.print(JSON.stringify({ agreed: false, tables: planAsData(plan), error: refusalAsData(refusal) }));
        return 'usage';
      }
    }
    if (ends) {
      if (!dryRun) session.tell('\nNothing to add.');
      if (session.json) session.print(JSON.stringify({ agreed: yes, tables: planAsData(plan) }));
      return exitOfPlan(plan);
    }
    return addAll(session, servers, plan, { ...options, patterns });
  });
}

const OF_ONE_TABLE: Partial<Record<keyof AddOptions, string>> = {
  key: '--key',
  target: '--target',
  topic: '--topic',
  cursor: '--cursor',
  type: '--type',
  codec: '--codec',
  lowCardinality: '--low-cardinality',
  orderBy: '--order-by',
  partitionBy: '--partition-by',
  ttl: '--ttl',
  renameColumn: '--rename-column',
};

function refuseOptionsOfOne(options: AddOptions): void {
  const found = Object.entries(OF_ONE_TABLE).flatMap(([option, flag]) =>
    options[option as keyof AddOptions] === undefined ? [] : [flag],
  );
  if (found.length === 0) return;
  throw new Failure('Misconfigured', {
    message: `${found.join(' and ')} ${found.length === 1 ? 'is' : 'are'} for one table, and several were named.`,
    remedy: 'Add the table that needs it alone, then the others.',
  });
}

/** @returns why nothing is started; undefined where the person agreed */
async function askPerson(session: Session, tables: number): Promise<Failure | undefined> {
  const what = plural(tables, 'table');
  if (!process.stdin.isTTY || session.json)
    return new Failure('Misconfigured', {
      message: `Nothing was added: adding ${what} needs --yes where nobody can be asked.`,
      remedy: 'Give --yes to add them, or --dry-run to look only.',
    });
  if (await askYes(session, `\nAdd ${what}? [y/N] `)) return undefined;
  return new Failure('Misconfigured', { message: `Nothing was added: ${what} were not confirmed.` });
}

function refusalAsData({ kind, message, remedy }: Failure): object {
  return { kind, message, remedy: remedy ?? null };
}

async function addAll(
  session: Session,
  servers: Servers,
  plan: readonly PlannedTable[],
  { patterns, ...options }: AddTablesOptions & { readonly patterns: readonly string[] },
): Promise<Exit> {
  const { settings, signal } = session;
  const added = plannedTo(plan, 'add');
  const stages = [...new Map(added.flatMap(({ checked }) => stagesOf(checked.route)).map((each) => [each.id, each]))];
  const specs: readonly StageSpec[] = stages.map(([, spec]) => spec);
  const newRoutes = added.flatMap(({ checked }) => (checked.prepared ? [] : [checked.route]));
  const usesKafka = newRoutes.some((route) => kafkaOf(route) !== undefined);
  const kafka = { title: plural(added.length, 'table'), command: commandOf(patterns, options) };
  const { client } = servers.temporal;
  const addedLoaders = await countAddedLoaders(servers.ledger);
  const slots = { queues: servers.queues, slots: settings.worker.slots, stages: specs, addedLoaders };
  const [counted] = await Promise.all([
    requireSlots(client, undefined, { ...slots, tables: added.length, loading: Math.min(added.length, ADDED_AT_ONCE) }),
    usesKafka && options.wait ? requireKafkaFor(settings, kafka) : undefined,
    usesKafka && options.wait ? requireRegistryFor(settings, newRoutes) : undefined,
    ensureSearchAttributes(client.connection, client.options.namespace),
  ]);
  const missing = options.wait ? await missingWorkers(servers, { counted, stages: specs }, signal) : [];
  const results = await addPlanned(session, servers, added, {
    options: tableOptions(options),
    priority: options.priority,
    follows: options.wait && missing.length === 0,
  });
  if (missing.length > 0)
    session.tell(
      `Nobody polls ${missing.join(', ')}: the tables are added, and begin as soon as a worker runs: pg2click worker`,
    );
  const exit = exitOfResults(plan, results, missing.length > 0);
  const refused = plannedTo(plan, 'refuse').length;
  const failed = results.filter(({ exit: each }) => each !== 'done').length;
  session.tell(
    `${count(results.length - failed)} of ${plural(added.length, 'table')} added` +
      `${failed === 0 ? '' : `, ${count(failed)} not as they should be (see above)`}` +
      `${refused === 0 ? '' : `, ${count(refused)} refused`}. Look at them: pg2click status`,
  );
  if (session.json) session.print(JSON.stringify({ agreed: true, tables: resultAsData(plan, results) }));
  return exit;
}

/** To be pasted into a shell. */
function commandOf(patterns: readonly string[], { exclude = [] }: AddTablesOptions): string {
  const words = [...patterns, ...exclude.flatMap((pattern) => ['--exclude', pattern])];
  return ['pg2click add', ...words.map((word) => (/^[\w.-]+$/u.test(word) ? word : quoteShell(word)))].join(' ');
}

function exitOfPlan(plan: readonly PlannedTable[]): Exit {
  return plannedTo(plan, 'refuse').length > 0 ? 'unsuitable' : 'done';
}

/** The first that is worse than `done`, what needs a person soonest first. */
const WORST_FIRST: readonly Exit[] = ['unreachable', 'failed', 'unhealthy', 'usage', 'unsuitable', 'waiting'];

function exitOfResults(plan: readonly PlannedTable[], results: readonly AddedTable[], isWaiting: boolean): Exit {
  const exits: readonly Exit[] = [
    ...results.map(({ exit }) => exit),
    exitOfPlan(plan),
    ...(isWaiting ? (['waiting'] as const) : []),
  ];
  return WORST_FIRST.find((exit) => exits.includes(exit)) ?? 'done';
}
