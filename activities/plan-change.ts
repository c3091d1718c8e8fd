import type { Queryable } from '../src/connect/queryable.js';
import { byPosition } from '../src/domain/column-type.js';
import {
  sourceName,
  type CaptureOptions,
  type ReplicatedTable,
  type TableOptions,
} from '../src/domain/replicated-table.js';
import { kafkaOf, type CaptureSpec, type LoaderSpec, type Route } from '../src/domain/route.js';
import { changeKindOf, refusalOfChange, type ChangeKind, type RouteOptions } from '../src/domain/route-change.js';
import { reasonAgainst, unknownPart } from '../src/domain/route-refusal.js';
import { wayOut } from '../src/domain/way-out.js';
import { LAST_GENERATION, listTakenNames } from '../src/ledger/registration.js';
import type { Registry } from '../src/pipeline/registry.js';
import type { Settings } from '../src/settings/settings.js';
import type { Capture } from '../src/source/capture.js';
import { chooseRoute, strayMessages, strayOptions } from './choose-route.js';

/** What a change would make of a table. */
export interface ChangePlan {
  readonly kind: ChangeKind;
  readonly route: Route;
}

/** Why a change cannot be made, and the commands that lead to what was asked for, where there are such. */
export interface ChangeRefusal {
  readonly why: string;
  readonly wayOut?: string;
}

export interface PlanContext {
  readonly source: Queryable;
  readonly ledger: Queryable;
  readonly settings: Settings;
  readonly captures: Registry<Capture>;
  readonly loaders: { readonly kinds: readonly string[] };
}

/**
 * Says what the options make of a table as it is. It changes nothing: the command and the activity both use it.
 * @returns a plan, or why there is none
 * @throws Failure those of the capture's inspection, e.g. `UnsuitableTable`
 */
export async function planChange(
  context: PlanContext,
  table: ReplicatedTable,
  asked: RouteOptions,
): Promise<ChangePlan | ChangeRefusal> {
  const { captures, loaders, settings, ledger } = context;
  const kind = asked.capture ?? table.route.capture.kind;
  if (!captures.kinds.includes(kind))
    return { why: `There is no capture "${kind}": choose ${captures.kinds.join(' or ')}.` };
  const capture = await captureAfter(context, table, asked);
  if (typeof capture === 'string') return { why: capture };
  const taken = await listTakenNames(ledger, table.pipeline, table.name);
  const request = { pipeline: table.pipeline, ...table.name, options: optionsAfter(table.route, asked) };
  const { transport } = chooseRoute(request, { settings, capture, taken });
  const route = {
    capture,
    transport: keepPartitions(table.route, transport),
    loaders: loadersAfter(table.route, asked),
  };
  const kinds = { captures: captures.kinds, loaders: loaders.kinds };
  const unknown = unknownPart(route, kinds);
  if (unknown !== undefined) return { why: unknown };
  const why = reasonAgainst(route, kinds) ?? refusalOfChange(table.route, route, asked);
  if (why !== undefined) return { why, wayOut: wayOut({ table, asked, wanted: route, kinds }) };
  const stray = strayMessages({ ...asked, transport: transport.kind }, route);
  if (stray !== undefined) return { why: stray };
  if (transport.kind === 'direct' && captures.named(kind).openStream === undefined)
    return { why: `--capture ${kind} needs a topic. Use --transport kafka.` };
  const change = changeKindOf(table.route, route);
  if (change === 'growing' && captures.named(kind).startFromNow === undefined)
    return { why: `--capture ${kind} cannot begin in the middle of a table. Remove it and add it again.` };
  const topic = kafkaOf(route)?.topic;
  const owner = taken.find((names) => topic !== undefined && names.topic === topic)?.owner;
  if (owner !== undefined) return { why: `The topic ${topic} is that of ${owner}. Choose another one with --topic.` };
  if ((change === 'next-generation' || change === 'growing') && table.generation >= LAST_GENERATION)
    return {
      why: `The table has been started ${LAST_GENERATION} times, and row versions have no number for another time.`,
    };
  return { kind: change, route };
}

/** A capture that nothing was asked of stays as the ledger has it, and the table is not inspected. */
async function captureAfter(
  { source, captures }: PlanContext,
  table: ReplicatedTable,
  asked: RouteOptions,
): Promise<CaptureSpec | string> {
  const before = table.route.capture;
  const given = (['cursor', 'channel', 'intervalMs'] as const).filter((option) => asked[option] !== undefined);
  const kind = asked.capture ?? before.kind;
  if (kind === before.kind && given.length === 0) return before;
  // Absent for a capture that has none: what two that follow a cursor have in common stays.
  const kept = before as Partial<CaptureOptions>;
  const options = {
    key: table.key,
    known: table,
    cursor: asked.cursor ?? kept.cursor,
    channel: asked.channel ?? (kind === before.kind ? kept.channel : undefined),
    intervalMs: asked.intervalMs ?? (kind === before.kind ? kept.intervalMs : undefined),
  };
  const found = await captures.named(kind).inspect(source, sourceName(table), options);
  const stray = strayOptions(asked, found.capture);
  if (stray !== undefined) return stray;
  if (found.relation !== table.relation) return 'Another table has its name now. Remove it and add it again.';
  if (found.key.join('\0') !== table.key.join('\0'))
    return `With --capture ${kind} its key would be ${found.key.join(', ')}, and its ClickHouse table has ${table.key.join(', ')}. Remove it and add it again.`;
  if (columnsText(found) !== columnsText(table))
    return 'Its columns are not those it was added with any more. Remove it and add it again.';
  return found.capture;
}

function columnsText({ columns }: Pick<ReplicatedTable, 'columns'>): string {
  return JSON.stringify(
    byPosition(columns).map(({ name, position, type, precision = null, scale = null, nullable }) => [
      name,
      position,
      type,
      precision,
      scale,
      nullable,
    ]),
  );
}

/** What is not asked for stays; what only a topic has goes with the topic. */
function optionsAfter(route: Route, asked: RouteOptions): TableOptions {
  const kafka = kafkaOf(route);
  const payload = asked.payload ?? kafka?.payload;
  const { kind: transport } = route.transport;
  return {
    ...asked,
    transport: asked.transport ?? transport,
    topic: asked.topic ?? kafka?.topic,
    payload,
    // Keys are always JSON: a request for keys need not name the format.
    format: asked.format ?? (payload === 'key' ? 'json' : kafka?.format),
  };
}

function keepPartitions(before: Route, transport: Route['transport']): Route['transport'] {
  const kafka = kafkaOf(before);
  return kafka === undefined || transport.kind !== 'kafka' ? transport : { ...transport, partitions: kafka.partitions };
}

function loadersAfter({ loaders }: Route, { loader, engine }: RouteOptions): readonly LoaderSpec[] {
  return loaders.map((each) => ({
    ...each,
    ...(loader === undefined ? {} : { kind: loader }),
    ...(engine === undefined || engine === (each.engine ?? 'replacing') ? {} : { engine }),
  }));
}
