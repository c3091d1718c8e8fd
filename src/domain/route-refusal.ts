import {
  engineOf,
  ENGINES,
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

/** Why a route is refused, as one sentence with the way out; undefined where it is fine. The only place that says so. */
export function refusalOf(route: Route, { captures, loaders }: RouteKinds): string | undefined {
  const { capture, transport } = route;
  if (!captures.includes(capture.kind)) return unknown('capture', capture.kind, captures);
  if (!TRANSPORTS.includes(transport.kind)) return unknown('transport', transport.kind, TRANSPORTS);
  if (route.loaders.length === 0) return 'A table needs a loader: choose worker.';
  for (const loader of route.loaders) {
    const refusal = refusalOfLoader(route, loader, loaders);
    if (refusal !== undefined) return refusal;
  }
  return (
    refusalOfNames(route) ?? (transport.kind === 'direct' ? refusalOfDirect(route) : refusalOfKafka(route, transport))
  );
}

function unknown(what: string, kind: string, known: readonly string[]): string {
  return `There is no ${what} "${kind}": choose ${known.join(' or ')}.`;
}

function refusalOfLoader({ capture }: Route, loader: LoaderSpec, loaders: readonly string[]): string | undefined {
  const { kind, name } = loader;
  const engine = engineOf(loader);
  if (!loaders.includes(kind)) {
    const isKnown = (LOADER_KINDS as readonly string[]).includes(kind);
    return isKnown
      ? `This release has no loader "${kind}" yet: choose ${loaders.join(' or ')}.`
      : unknown('loader', kind, loaders);
  }
  if (!LOADER_NAME.test(name))
    return `"${name}" cannot name a loader: choose 1 to 40 lower-case letters, digits and "-".`;
  if (!ENGINES.includes(engine)) return unknown('engine', engine, ENGINES);
  if (engine === 'merge-tree' && capture.appendOnly !== true)
    return `A plain MergeTree cannot replace or delete rows, and --capture ${capture.kind} brings updates and deletes. Use --capture poll, or --engine replacing.`;
  return undefined;
}

function refusalOfNames({ loaders }: Route): string | undefined {
  const names = loaders.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? undefined : `Two loaders are named "${twice}": give each a name of its own.`;
}

function refusalOfDirect({ loaders }: Route): string | undefined {
  if (loaders.some(({ kind }) => kind === 'kafka-engine'))
    return 'The Kafka engine reads a topic, and --transport direct has none. Use --transport kafka, or --loader worker.';
  if (loaders.length > 1)
    return 'Without a topic there is one loader: what it has loaded is taken out of the capture. Use --transport kafka for several.';
  return undefined;
}

function refusalOfKafka({ capture, loaders }: Route, { format, payload }: KafkaTransport): string | undefined {
  if (!MESSAGE_FORMATS.includes(format)) return unknown('message format', format, MESSAGE_FORMATS);
  if (!PAYLOADS.includes(payload)) return unknown('payload', payload, PAYLOADS);
  const byEngine = loaders.some(({ kind }) => kind === 'kafka-engine');
  if (payload === 'key') {
    if (capture.appendOnly === true)
      return `Rows of --capture ${capture.kind} never change, so a message with the key alone would only read them twice. Use --payload row.`;
    if (byEngine)
      return 'The Kafka engine cannot read rows from PostgreSQL, and --payload key sends keys only. Use --loader worker, or --payload row.';
    if (format !== 'json')
      return `Messages with keys only are JSON: use --format json with --payload key, or --payload row.`;
  }
  if (byEngine && format === 'packed')
    return 'The Kafka engine cannot set one bad row of a packed message apart: all of its rows would be lost. Use --format json, or --loader worker.';
  if (loaders.some((loader) => engineOf(loader) === 'merge-tree'))
    return byEngine
      ? 'The Kafka engine may insert a message twice, and a plain MergeTree keeps both. Use --transport direct with --loader worker, or --engine replacing.'
      : 'A topic may hold a row twice, and a plain MergeTree keeps both. Use --transport direct, or --engine replacing.';
  return undefined;
}
