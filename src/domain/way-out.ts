import { given } from './given.js';
import { firstLoader, type ReplicatedTable, type TableOptions } from './replicated-table.js';
import {
  APPEND_ONLY_CAPTURES,
  engineOf,
  FOREIGN_TOPIC_CAPTURES,
  kafkaOf,
  MESSAGE_FORMATS,
  PAYLOADS,
  type KafkaTransport,
  type LoaderKind,
  type Route,
  type TransportSpec,
} from './route.js';
import { changeKindOf, isSame, refusalOfChange, type RouteOptions } from './route-change.js';
import { choiceOf, nearestChoices, nearestOf, routeOf, type RouteChoice } from './route-choice.js';
import { reasonAgainst, type RouteKinds } from './route-refusal.js';
import { tableCommand } from './table-command.js';
import { shellName } from './table-name.js';
import { optionsOf, spokenOptions } from './table-options.js';

/** What a user wants of a running table that cannot be had by one change. */
export interface Wish {
  readonly table: Pick<ReplicatedTable, 'name' | 'key' | 'route'>;
  readonly asked: RouteOptions;
  /** The route that the options make of that of the table. */
  readonly wanted: Route;
  readonly kinds: RouteKinds;
}

/**
 * The nearest way to what was asked for, as commands, whole: each is one that works after those before it. One or two changes of
 * the running table, else its removal and another `add`. Wishes that exclude each other lead to the nearest change.
 */
export function wayOut(wish: Wish): string {
  const { table, kinds, wanted } = wish;
  const way = changesTo(wish);
  if (way !== undefined) return way;
  const choice = wantedChoice(wish);
  if (nearestChoices(choice, isAskedIn(wish)).length > 0) return addAgain(wish);
  const [nearest] = candidates(table.route, wish)
    .filter((each) => works(table.route, each, wish))
    .toSorted((a, b) => distance(a, wanted) - distance(b, wanted));
  if (nearest !== undefined) return `Run ${commandOf(table.route, nearest, wish)}`;
  return `Use ${nearestOf(choice, (each) => isPossible(each, kinds)).join(', or ')}`;
}

/**
 * The way to another loader for a table without a topic. What only grows is not copied: its loaders need a topic that has held its
 * rows from the first.
 */
export function wayToTopic(wish: Pick<Wish, 'table' | 'kinds'>): string {
  const { route } = wish.table;
  const carrier: KafkaTransport = { kind: 'kafka', topic: '', partitions: 1, format: 'json', payload: 'row' };
  const whole: Wish = { ...wish, asked: { transport: 'kafka' }, wanted: { ...route, transport: carrier } };
  return route.capture.appendOnly === true ? addAgain(whole) : wayOut(whole);
}

function addAgain(wish: Wish): string {
  const { name, route } = wish.table;
  const [, ...others] = route.loaders;
  const wanted = wantedChoice(wish);
  const [choice = wanted] = nearestChoices(wanted, isAskedIn(wish));
  const add = tableCommand('add', name, spokenOptions(optionsAgain(wish, choice)));
  const more = others.length === 0 ? '' : ` Then add its loaders again: ${others.map((each) => each.name).join(', ')}.`;
  return `Run pg2click remove ${shellName(name)}, then ${add}${more === '' ? '' : `.${more}`}`;
}

function wantedChoice({ wanted }: Wish): RouteChoice {
  return choiceOf(wanted, firstLoader({ route: wanted }));
}

function isPossible(choice: RouteChoice, kinds: RouteKinds): boolean {
  return reasonAgainst(routeOf(choice), kinds) === undefined;
}

/** Whether a choice is possible, and is what was asked for. */
function isAskedIn({ asked, kinds }: Wish): (choice: RouteChoice) => boolean {
  const axes = (choice: RouteChoice): (keyof RouteChoice)[] => Object.keys(choice) as (keyof RouteChoice)[];
  return (choice) =>
    isPossible(choice, kinds) && axes(choice).every((axis) => (asked[axis] ?? choice[axis]) === choice[axis]);
}

function optionsAgain({ table, asked }: Wish, choice: RouteChoice): TableOptions {
  const { appendOnly: _, ...wishes } = asked;
  const { topic, cursor, channel, intervalMs, ...before } = { ...optionsOf(table), ...given(wishes) };
  const { payload, format, loader, ...axes } = choice;
  const isForeign = FOREIGN_TOPIC_CAPTURES.includes(choice.capture);
  const isGrowing = APPEND_ONLY_CAPTURES.includes(choice.capture);
  // Rows of a plain MergeTree would be there twice, and a table of another engine does not fit.
  const isFresh = [choice.engine, engineOf(firstLoader(table))].some((engine) => engine !== 'replacing');
  return {
    ...before,
    ...axes,
    loader: loader as LoaderKind,
    ...(choice.transport === 'kafka' ? { payload, format, topic } : { payload: undefined, format: undefined }),
    // Nobody writes into the topic of somebody else.
    ...(isForeign || table.route.capture.foreignTopic === true
      ? { topic: wishes.topic ?? (isForeign ? 'TOPIC' : undefined) }
      : {}),
    ...(isGrowing ? { cursor, intervalMs } : {}),
    ...(choice.capture === 'notify' ? { channel } : {}),
    ...(isFresh ? { target: 'NAME' } : {}),
  };
}

/** @returns undefined where no changes lead there */
function changesTo(wish: Wish): string | undefined {
  const { name, route } = wish.table;
  const [first, ...others] = route.loaders;
  const commands = chainFrom(route, wish);
  if (commands !== undefined) return `Run ${commands.join(', then ')}`;
  if (first === undefined || others.length === 0) return undefined;
  // Some ways have room for one loader.
  const alone = chainFrom({ ...route, loaders: [first] }, wish);
  if (alone === undefined) return undefined;
  const removals = others.map((each) => `pg2click loader remove ${shellName(name)} ${each.name}`);
  return `Run ${[...removals, ...alone].join(', then ')}`;
}

function chainFrom(from: Route, wish: Wish): readonly string[] | undefined {
  const next = (route: Route): readonly Route[] => candidates(route, wish).filter((each) => works(route, each, wish));
  const ends = (routes: readonly Route[]): Route | undefined =>
    routes
      .filter((each) => isWished(each, wish))
      .toSorted((a, b) => distance(a, wish.wanted) - distance(b, wish.wanted))[0];
  const steps = next(from);
  const direct = ends(steps);
  if (direct !== undefined) return [commandOf(from, direct, wish)];
  for (const step of steps) {
    const last = ends(next(step));
    if (last !== undefined) return [commandOf(from, step, wish), commandOf(step, last, wish)];
  }
  return undefined;
}

function commandOf(from: Route, to: Route, { table, asked }: Wish): string {
  return tableCommand('configure', table.name, stepOptions(from, to, asked));
}

/** What a change may make of a route: its loaders stay what they are. */
function candidates({ transport, loaders, capture }: Route, { wanted, asked }: Wish): readonly Route[] {
  const wished = asked.topic ?? kafkaOf(wanted)?.topic ?? '';
  const { topic, partitions } = transport.kind === 'kafka' ? transport : { topic: wished, partitions: 1 };
  const messages = PAYLOADS.flatMap((payload) =>
    MESSAGE_FORMATS.map((format): KafkaTransport => ({ kind: 'kafka', topic, partitions, payload, format })),
  );
  const transports: readonly TransportSpec[] = [{ kind: 'direct' }, ...messages];
  return [capture, wanted.capture].flatMap((each) =>
    transports.map((carrier) => ({ capture: each, transport: carrier, loaders })),
  );
}

function works(from: Route, to: Route, { kinds }: Wish): boolean {
  return (
    changeKindOf(from, to) !== 'none' &&
    reasonAgainst(to, kinds) === undefined &&
    refusalOfChange(from, to, { appendOnly: true }) === undefined
  );
}

function isWished(route: Route, { asked, wanted }: Wish): boolean {
  const kafka = kafkaOf(route);
  const { capture, transport, topic, format, payload, loader, engine, cursor, channel, intervalMs } = asked;
  const isOfCapture = [capture, cursor, channel, intervalMs].some((option) => option !== undefined);
  return (
    (!isOfCapture || isSame(route.capture, wanted.capture)) &&
    (transport ?? route.transport.kind) === route.transport.kind &&
    (topic ?? kafka?.topic) === kafka?.topic &&
    (format ?? kafka?.format) === kafka?.format &&
    (payload ?? kafka?.payload) === kafka?.payload &&
    route.loaders.every((each) => (loader ?? each.kind) === each.kind && (engine ?? engineOf(each)) === engineOf(each))
  );
}

/** How many choices differ from those that the wish would make. */
function distance(route: Route, wanted: Route): number {
  const [kafka, meant] = [kafkaOf(route), kafkaOf(wanted)];
  return [
    route.transport.kind !== wanted.transport.kind,
    !isSame(route.capture, wanted.capture),
    kafka?.format !== meant?.format,
    kafka?.payload !== meant?.payload,
  ].filter(Boolean).length;
}

/** What `configure` has to be given to make one route of the other. */
function stepOptions(from: Route, to: Route, { topic, cursor, channel, intervalMs }: RouteOptions): RouteOptions {
  const [before, after] = [kafkaOf(from), kafkaOf(to)];
  const isOther = !isSame(from.capture, to.capture);
  return given({
    capture: from.capture.kind === to.capture.kind ? undefined : to.capture.kind,
    ...(isOther ? { cursor, channel, intervalMs } : {}),
    appendOnly: changeKindOf(from, to) === 'growing' ? true : undefined,
    transport: from.transport.kind === to.transport.kind ? undefined : to.transport.kind,
    topic: before === undefined && after !== undefined ? topic : undefined,
    format: before?.format === after?.format ? undefined : after?.format,
    payload: after?.payload === (before?.payload ?? 'row') ? undefined : after?.payload,
  });
}
