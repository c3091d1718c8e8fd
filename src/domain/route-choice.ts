import {
  APPEND_ONLY_CAPTURES,
  CAPTURE_KINDS,
  engineOf,
  ENGINES,
  EVERY_CHANGE_CAPTURES,
  FOREIGN_TOPIC_CAPTURES,
  LOADER_KINDS,
  MAIN_LOADER,
  MESSAGE_FORMATS,
  PAYLOADS,
  TRANSPORTS,
  type Engine,
  type LoaderSpec,
  type MessageFormat,
  type Payload,
  type Route,
  type TransportKind,
} from './route.js';

/** What a user chooses of a route, one value an axis. Without a topic, payload and format mean nothing. */
export interface RouteChoice {
  readonly capture: string;
  readonly transport: TransportKind;
  readonly loader: string;
  readonly payload: Payload;
  readonly format: MessageFormat;
  readonly engine: Engine;
}

/** The axes as options of the command line, and what it costs a user to choose otherwise: what decides more weighs more. */
const AXES: Readonly<Record<keyof RouteChoice, number>> = {
  capture: 5,
  engine: 4,
  transport: 2,
  loader: 2,
  payload: 1,
  format: 1,
};

/** Every combination; those without a topic once, with the first payload and format. */
export function allChoices(): readonly RouteChoice[] {
  const choices: RouteChoice[] = [];
  for (const capture of CAPTURE_KINDS)
    for (const transport of TRANSPORTS)
      for (const loader of LOADER_KINDS)
        for (const engine of ENGINES)
          for (const [payload, format] of transport === 'kafka' ? MESSAGES : MESSAGES.slice(0, 1))
            choices.push({ capture, transport, loader, payload, format, engine });
  return choices;
}

const MESSAGES = PAYLOADS.flatMap((payload) => MESSAGE_FORMATS.map((format) => [payload, format] as const));

/** What a route chooses, by one of its loaders. */
export function choiceOf({ capture, transport }: Route, loader: LoaderSpec): RouteChoice {
  const { payload, format } = transport.kind === 'kafka' ? transport : ({ payload: 'row', format: 'json' } as const);
  return {
    capture: capture.kind,
    transport: transport.kind,
    loader: loader.kind,
    payload,
    format,
    engine: engineOf(loader),
  };
}

/** `outbox, kafka (json, row), worker, replacing`: a route as people read it, by its first loader. */
export function describeRoute(route: Route): string {
  const { transport, loaders, capture } = route;
  const [loader] = loaders;
  const way = transport.kind === 'kafka' ? `kafka (${transport.format}, ${transport.payload})` : transport.kind;
  return [capture.kind, way, ...(loader === undefined ? [] : [loader.kind, engineOf(loader)])].join(', ');
}

/** `outbox, direct, .. -> outbox, kafka (json, row), ..`, or `interval 5000 ms -> 250 ms`: what differs, as people read it. */
export function describeChange(before: Route, after: Route): string {
  const [from, to] = [describeRoute(before), describeRoute(after)];
  if (from !== to) return `${from} -> ${to}`;
  const said = ({ capture }: Route, option: string): string => {
    const value = capture[option] as string | number | undefined;
    if (value === undefined) return 'the default';
    return option === 'intervalMs' ? `${value} ms` : String(value);
  };
  return Object.entries(OPTION_NAMES)
    .filter(([option]) => said(before, option) !== said(after, option))
    .map(([option, name]) => `${name} ${said(before, option)} -> ${said(after, option)}`)
    .join(', ');
}

/** Of a capture: what a user may change. */
const OPTION_NAMES: Readonly<Record<string, string>> = {
  cursor: '--cursor',
  channel: '--channel',
  intervalMs: '--interval',
};

/** A route of this choice, with names that nothing has: to ask what is possible. */
export function routeOf({ capture, transport, loader, payload, format, engine }: RouteChoice): Route {
  return {
    capture: {
      kind: capture,
      appendOnly: APPEND_ONLY_CAPTURES.includes(capture),
      foreignTopic: FOREIGN_TOPIC_CAPTURES.includes(capture),
      everyChange: engine === 'log' && EVERY_CHANGE_CAPTURES.includes(capture),
    },
    transport:
      transport === 'direct' ? { kind: transport } : { kind: transport, topic: '', partitions: 1, format, payload },
    loaders: [{ kind: loader, name: MAIN_LOADER, target: { database: '', table: '' }, engine }],
  };
}

/**
 * The choices nearest to one that is not possible, as options: `--transport direct`, or `--engine replacing --loader worker`.
 * @param works whether a choice is possible
 * @returns at most two, of the same distance
 */
export function nearestOf(choice: RouteChoice, works: (choice: RouteChoice) => boolean): readonly string[] {
  return nearestChoices(choice, works)
    .slice(0, 2)
    .map((other) =>
      changes(choice, other)
        .map((axis) => `--${axis} ${other[axis]}`)
        .join(' '),
    );
}

/** The choices that are possible, and as near as any that is. */
export function nearestChoices(choice: RouteChoice, works: (choice: RouteChoice) => boolean): readonly RouteChoice[] {
  let nearest: readonly RouteChoice[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const other of allChoices().filter(works)) {
    const distance = changes(choice, other).reduce((sum, axis) => sum + AXES[axis], 0);
    nearest = distance < least ? [other] : distance === least ? [...nearest, other] : nearest;
    least = Math.min(least, distance);
  }
  return nearest;
}

function changes(from: RouteChoice, to: RouteChoice): readonly (keyof RouteChoice)[] {
  const axes = Object.keys(AXES) as (keyof RouteChoice)[];
  const isMeant = (axis: keyof RouteChoice): boolean =>
    to.transport === 'kafka' || (axis !== 'payload' && axis !== 'format');
  return axes.filter((axis) => isMeant(axis) && from[axis] !== to[axis]);
}
