/**
 * The way of a table's rows, as data: what captures changes, what carries them, what loads them. It is stored in the table's
 * definition in the ledger.
 */
export interface Route {
  readonly capture: CaptureSpec;
  readonly transport: TransportSpec;
  /** At least one; their names differ. */
  readonly loaders: readonly LoaderSpec[];
}

/** What captures the changes of a table. `kind` names an entry of the capture registry; the other fields belong to that capture. */
export interface CaptureSpec {
  readonly kind: string;
  readonly [option: string]: unknown;
}

/** How rows travel in Kafka. `json`: one row a message. `packed`: many rows a message. */
export const MESSAGE_FORMATS = ['json', 'packed'] as const;
export type MessageFormat = (typeof MESSAGE_FORMATS)[number];

export interface KafkaTransport {
  readonly kind: 'kafka';
  readonly topic: string;
  /** Partitions of the topic when it was created. If some are added, the table parks. */
  readonly partitions: number;
  readonly format: MessageFormat;
  /** `row`: the whole row is in the message. */
  readonly payload: 'row';
}

export type TransportSpec = KafkaTransport;

export interface Target {
  readonly database: string;
  readonly table: string;
}

/** What inserts into a target. `kind` names an entry of the loader registry. */
export interface LoaderSpec {
  readonly kind: string;
  /** Lower-case letters, digits and `-`: part of the stage's id. */
  readonly name: string;
  readonly target: Target;
  /** Identity of the ClickHouse server on which the target was made; absent in older ledgers. */
  readonly server?: string;
}

export const MAIN_LOADER = 'main';

/** One stage of a table: `copy`, `publish`, `load:main`. It names a row of the ledger, a task, a label of the metrics. */
export type StageId = string;

export interface StageSpec {
  readonly id: StageId;
  /** The activity that runs a slice of it. */
  readonly activity: StageActivity;
  /** The task queue that offers it: `producer` reads PostgreSQL, `consumer` reads Kafka. */
  readonly queue: 'producer' | 'consumer';
  /** `once`: it ends by itself and is not run again. */
  readonly runs: 'once' | 'always';
}

export const STAGE_ACTIVITIES = ['copyTable', 'publishSlice', 'loadSlice'] as const;
export type StageActivity = (typeof STAGE_ACTIVITIES)[number];

export const COPY_STAGE: StageId = 'copy';
export const PUBLISH_STAGE: StageId = 'publish';

export function loadStage(loader: string): StageId {
  return `load:${loader}`;
}

/** The loader that a stage belongs to; undefined for a stage of the whole table. */
export function loaderOf(stage: StageId): string | undefined {
  return /^load:(.+)$/u.exec(stage)?.[1];
}

/** What a stage reads from: the table itself, the capture, or the topic. */
export type StageInput = 'table' | 'capture' | 'topic';

export function inputOf(stage: StageId): StageInput {
  if (stage === COPY_STAGE) return 'table';
  return loaderOf(stage) === undefined ? 'capture' : 'topic';
}

/** Where changes wait for a stage, as people say it: `the outbox`, `Kafka`; null for a stage that reads the table itself. */
export function waitingPlace(route: Pick<Route, 'capture'>, stage: StageId): string | null {
  const places = { table: null, capture: `the ${route.capture.kind}`, topic: 'Kafka' } as const;
  return places[inputOf(stage)];
}

type NamedLoader = LoaderSpec | Pick<LoaderSpec, 'name'>;

/** The stages of a route, in the order in which a row meets them. The only place that knows which stages a route has. */
export function stagesOf({ loaders }: { readonly loaders: readonly NamedLoader[] }): readonly StageSpec[] {
  return [
    { id: COPY_STAGE, activity: 'copyTable', queue: 'producer', runs: 'once' },
    { id: PUBLISH_STAGE, activity: 'publishSlice', queue: 'producer', runs: 'always' },
    ...loaders.map(
      ({ name }) => ({ id: loadStage(name), activity: 'loadSlice', queue: 'consumer', runs: 'always' }) as const,
    ),
  ];
}

/** The kinds that this build has, by axis: the names of its registries. */
export interface RouteKinds {
  readonly captures: readonly string[];
  readonly loaders: readonly string[];
}

const LOADER_NAME = /^[a-z0-9-]{1,40}$/u;

/** Why a route is refused, as one sentence with the way out; undefined where it is fine. The only place that says so. */
export function refusalOf(route: Route, { captures, loaders }: RouteKinds): string | undefined {
  const { capture, transport } = route;
  if (!captures.includes(capture.kind))
    return `There is no capture "${capture.kind}": choose ${captures.join(' or ')}.`;
  if ((transport.kind as string) !== 'kafka') return `There is no transport "${transport.kind}": choose kafka.`;
  if (!MESSAGE_FORMATS.includes(transport.format))
    return `There is no message format "${transport.format}": choose ${MESSAGE_FORMATS.join(' or ')}.`;
  if (route.loaders.length === 0) return 'A table needs a loader: choose worker.';
  for (const { kind, name } of route.loaders) {
    if (!loaders.includes(kind)) return `There is no loader "${kind}": choose ${loaders.join(' or ')}.`;
    if (!LOADER_NAME.test(name))
      return `"${name}" cannot name a loader: choose 1 to 40 lower-case letters, digits and "-".`;
  }
  const names = route.loaders.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? undefined : `Two loaders are named "${twice}": give each a name of its own.`;
}
