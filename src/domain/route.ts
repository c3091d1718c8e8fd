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
  /** It sees inserts only, reads the table from its first row, and reads the same rows again under the same name. */
  readonly appendOnly?: boolean;
  readonly [option: string]: unknown;
}

/** Every capture that a user may ask for. */
export const CAPTURE_KINDS: readonly string[] = ['outbox', 'poll', 'notify'];
/** Captures of tables that only grow: what they are asked for. What one of them does is in its `CaptureSpec`. */
export const APPEND_ONLY_CAPTURES: readonly string[] = ['poll', 'notify'];

/** `direct`: from the capture into ClickHouse. `kafka`: through a topic, which others may read too. */
export const TRANSPORTS = ['kafka', 'direct'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

/** How rows travel in Kafka. `json`: one row a message. `packed`: many rows a message. */
export const MESSAGE_FORMATS = ['json', 'packed'] as const;
export type MessageFormat = (typeof MESSAGE_FORMATS)[number];

/** `row`: a message has the whole row. `key`: it has the key, and who loads it reads the row from PostgreSQL. */
export const PAYLOADS = ['row', 'key'] as const;
export type Payload = (typeof PAYLOADS)[number];

export interface KafkaTransport {
  readonly kind: 'kafka';
  readonly topic: string;
  /** Partitions of the topic when it was created. If some are added, the table parks. */
  readonly partitions: number;
  readonly format: MessageFormat;
  readonly payload: Payload;
}

export interface DirectTransport {
  readonly kind: 'direct';
}

export type TransportSpec = KafkaTransport | DirectTransport;

/** @returns undefined where no topic carries the rows */
export function kafkaOf({ transport }: Pick<Route, 'transport'>): KafkaTransport | undefined {
  return transport.kind === 'kafka' ? transport : undefined;
}

/** @throws Error for a route without a topic: who asks runs a stage that reads or writes one */
export function requireKafka(route: Pick<Route, 'transport'>): KafkaTransport {
  const transport = kafkaOf(route);
  if (transport === undefined) throw new Error('no topic carries the rows of this table');
  return transport;
}

/** `replacing`: the newest version of each row. `merge-tree`: rows as they were inserted, for tables that only grow. */
export const ENGINES = ['replacing', 'merge-tree'] as const;
export type Engine = (typeof ENGINES)[number];

/** `worker`: this program inserts. `kafka-engine`: ClickHouse reads the topic itself. */
export const LOADER_KINDS = ['worker', 'kafka-engine'] as const;
export type LoaderKind = (typeof LOADER_KINDS)[number];

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
  /** Of the target; `replacing` when absent. */
  readonly engine?: Engine;
}

export function engineOf({ engine = 'replacing' }: Pick<LoaderSpec, 'engine'>): Engine {
  return engine;
}

export const MAIN_LOADER = 'main';

/** One stage of a table: `copy`, `publish`, `load:main`, `direct:main`. It names a row of the ledger, a task, a label of the metrics. */
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

export const STAGE_ACTIVITIES = ['copyTable', 'publishSlice', 'loadSlice', 'directSlice'] as const;
export type StageActivity = (typeof STAGE_ACTIVITIES)[number];

export const COPY_STAGE: StageId = 'copy';
export const PUBLISH_STAGE: StageId = 'publish';

export function loadStage(loader: string): StageId {
  return `load:${loader}`;
}

/** From the capture straight into the target of a loader. */
export function directStage(loader: string): StageId {
  return `direct:${loader}`;
}

/** The loader that a stage belongs to; undefined for a stage of the whole table. */
export function loaderOf(stage: StageId): string | undefined {
  return /^(?:load|direct):(.+)$/u.exec(stage)?.[1];
}

/** What a stage reads from: the table itself, the capture, or the topic. */
export type StageInput = 'table' | 'capture' | 'topic';

export function inputOf(stage: StageId): StageInput {
  if (stage === COPY_STAGE) return 'table';
  return stage.startsWith('load:') ? 'topic' : 'capture';
}

/** Where changes wait for a stage, as people say it: `the outbox`, `the table`, `Kafka`; null for a first load. */
export function waitingPlace(route: Pick<Route, 'capture'>, stage: StageId): string | null {
  const place = route.capture.appendOnly === true ? 'the table' : `the ${route.capture.kind}`;
  const places = { table: null, capture: place, topic: 'Kafka' } as const;
  return places[inputOf(stage)];
}

/** The route of every table of the first releases. */
export const FIRST_ROUTE = {
  capture: {},
  transport: { kind: 'kafka' },
  loaders: [{ name: MAIN_LOADER }],
} as const satisfies StagedRoute;

/** What the stages of a route follow from. */
export interface StagedRoute {
  readonly capture: Pick<CaptureSpec, 'appendOnly'>;
  readonly transport: Pick<TransportSpec, 'kind'>;
  readonly loaders: readonly Pick<LoaderSpec, 'name'>[];
}

/**
 * The stages of a route, in the order in which a row meets them. The only place that knows which stages a route has. What only
 * grows needs no copy: its capture reads it from the first row.
 */
export function stagesOf({ capture, transport, loaders }: StagedRoute): readonly StageSpec[] {
  const copy: StageSpec = { id: COPY_STAGE, activity: 'copyTable', queue: 'producer', runs: 'once' };
  const first = capture.appendOnly === true ? [] : [copy];
  if (transport.kind === 'direct') return [...first, ...loaders.map(({ name }) => directSpec(name))];
  const publish: StageSpec = { id: PUBLISH_STAGE, activity: 'publishSlice', queue: 'producer', runs: 'always' };
  return [...first, publish, ...loaders.map(({ name }) => loadSpec(name))];
}

function directSpec(loader: string): StageSpec {
  return { id: directStage(loader), activity: 'directSlice', queue: 'producer', runs: 'always' };
}

function loadSpec(loader: string): StageSpec {
  return { id: loadStage(loader), activity: 'loadSlice', queue: 'consumer', runs: 'always' };
}

/** The stage that brings rows into the target of a loader. */
export function deliveryStage({ transport }: Pick<StagedRoute, 'transport'>, loader: string = MAIN_LOADER): StageId {
  return transport.kind === 'direct' ? directStage(loader) : loadStage(loader);
}
