import { choiceOf, nearestOf, routeOf, type RouteChoice } from './route-choice.js';
import {
  engineOf,
  ENGINES,
  EVERY_CHANGE_CAPTURES,
  LOADER_KINDS,
  MESSAGE_FORMATS,
  PAYLOADS,
  TRANSPORTS,
  type KafkaTransport,
  type LoaderSpec,
  type Route,
} from './route.js';

/** The kinds that this build has, by axis: the names of its registries. */
export interface RouteKinds {
  readonly captures: readonly string[];
  readonly loaders: readonly string[];
}

const LOADER_NAME = /^[a-z0-9-]{1,40}$/u;

/**
 * Why a route is refused: the reason, and the nearest way that works. The only place that says so.
 * @returns undefined where it is fine
 */
export function refusalOf(route: Route, kinds: RouteKinds): string | undefined {
  const reason = reasonAgainst(route, kinds);
  const loader = route.loaders.find((each) => impossible(route, each) !== undefined);
  if (reason === undefined || loader === undefined || unknownPart(route, kinds) !== undefined) return reason;
  const works = (choice: RouteChoice): boolean => reasonAgainst(routeOf(choice), kinds) === undefined;
  return `${reason} Use ${nearestOf(choiceOf(route, loader), works).join(', or ')}.`;
}

/** The reason alone. */
export function reasonAgainst(route: Route, kinds: RouteKinds): string | undefined {
  const reasons = route.loaders.map((loader) => impossible(route, loader));
  return unknownPart(route, kinds) ?? reasons.find((reason) => reason !== undefined) ?? severalLoaders(route);
}

/** What this build does not know, or cannot read. */
export function unknownPart({ capture, transport, loaders }: Route, kinds: RouteKinds): string | undefined {
  if (!kinds.captures.includes(capture.kind)) return unknown('capture', capture.kind, kinds.captures);
  if (!TRANSPORTS.includes(transport.kind)) return unknown('transport', transport.kind, TRANSPORTS);
  if (transport.kind === 'kafka') {
    const { format, payload } = transport;
    if (!MESSAGE_FORMATS.includes(format)) return unknown('message format', format, MESSAGE_FORMATS);
    if (!PAYLOADS.includes(payload)) return unknown('payload', payload, PAYLOADS);
  }
  if (loaders.length === 0) return 'A table needs a loader: choose worker.';
  for (const loader of loaders) {
    const { kind, name } = loader;
    if (!kinds.loaders.includes(kind)) return unknown('loader', kind, kinds.loaders);
    if (!ENGINES.includes(engineOf(loader))) return unknown('engine', engineOf(loader), ENGINES);
    if (!LOADER_NAME.test(name))
      return `"${name}" cannot name a loader: choose 1 to 40 lower-case letters, digits and "-".`;
  }
  return undefined;
}

function unknown(what: string, kind: string, known: readonly string[]): string {
  const isLater = (LOADER_KINDS as readonly string[]).includes(kind);
  return `${isLater ? `This release has no ${what}` : `There is no ${what}`} "${kind}": choose ${known.join(' or ')}.`;
}

/** Why known parts do not go together, as one sentence. */
function impossible({ capture, transport }: Route, loader: LoaderSpec): string | undefined {
  const engine = engineOf(loader);
  const isPlain = engine === 'merge-tree';
  const byEngine = loader.kind === 'kafka-engine';
  if (isPlain && capture.appendOnly !== true)
    return `A plain MergeTree cannot replace or delete rows, and --capture ${capture.kind} brings updates and deletes.`;
  if (engine === 'log' && capture.everyChange !== true)
    return EVERY_CHANGE_CAPTURES.includes(capture.kind)
      ? 'A log begins when its table is added: it has every change from then on.'
      : '--engine log keeps the values of every change, and only --capture wal has them: choose both.';
  const byOthers = capture.foreignTopic === true ? impossibleForeign(capture.kind, transport) : undefined;
  if (byOthers !== undefined) return byOthers;
  if (transport.kind === 'direct')
    return byEngine ? 'The Kafka engine reads a topic, and --transport direct has none.' : undefined;
  if (isPlain || engine === 'log') {
    const keeper = isPlain ? 'a plain MergeTree' : 'a log';
    return byEngine
      ? `The Kafka engine may insert a message twice, and ${keeper} keeps both.`
      : `A topic may hold a row twice, and ${keeper} keeps both.`;
  }
  return impossibleMessages(transport, { byEngine, appendOnly: capture.appendOnly === true });
}

/** The messages are as others write them. */
function impossibleForeign(kind: string, transport: Route['transport']): string | undefined {
  if (transport.kind === 'direct') return `--capture ${kind} reads a topic, and --transport direct has none.`;
  if (transport.payload === 'key' || transport.format !== 'json')
    return `With --capture ${kind} the messages are as they are: --payload and --format mean nothing.`;
  return undefined;
}

function impossibleMessages(
  { payload, format }: KafkaTransport,
  { byEngine, appendOnly }: { readonly byEngine: boolean; readonly appendOnly: boolean },
): string | undefined {
  if (payload === 'key' && byEngine)
    return 'The Kafka engine cannot read rows from PostgreSQL, and --payload key sends keys only.';
  if (payload === 'key' && appendOnly)
    return 'Rows of a table that only grows never change: a message with the key alone would only read them twice.';
  if (payload === 'key' && format !== 'json') return 'Messages with keys only are JSON.';
  if (byEngine && format === 'debezium')
    return 'The Kafka engine reads rows as they are, and --format debezium puts them into an envelope.';
  if (byEngine && format === 'packed')
    return 'The Kafka engine cannot set one bad row of a packed message apart: all its rows would be lost.';
  return undefined;
}

function severalLoaders({ transport, loaders }: Route): string | undefined {
  const names = loaders.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return `Two loaders are named "${twice}": give each a name of its own.`;
  if (transport.kind === 'direct' && loaders.length > 1)
    return 'Without a topic there is one loader: what it has loaded is taken out of the capture.';
  return undefined;
}
