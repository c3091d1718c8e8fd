import type { KeptTable } from './kept-table.js';
import type { Resync } from './resync.js';
import type { TargetLayout } from './target-layout.js';

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
  /** It brings every change with its values, and not rows as they are: for the engine `log`. */
  readonly everyChange?: boolean;
  /** Others write its changes into the topic of the table: no stage of ours reads them from PostgreSQL. */
  readonly foreignTopic?: boolean;
  readonly [option: string]: unknown;
}

/** Every capture that a user may ask for. */
export const CAPTURE_KINDS: readonly string[] = ['outbox', 'poll', 'notify', 'wal', 'debezium'];
/** Captures of tables that only grow: what they are asked for. What one of them does is in its `CaptureSpec`. */
export const APPEND_ONLY_CAPTURES: readonly string[] = ['poll', 'notify'];
/** Captures whose changes wait in an outbox. */
export const OUTBOX_CAPTURES: readonly string[] = ['outbox', 'wal'];
/** Captures whose topic is written by others. */
export const FOREIGN_TOPIC_CAPTURES: readonly string[] = ['debezium'];
/** Captures that see the values of every change. */
export const EVERY_CHANGE_CAPTURES: readonly string[] = ['wal'];

/** `direct`: from the capture into ClickHouse. `kafka`: through a topic, which others may read too. */
export const TRANSPORTS = ['kafka', 'direct'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

/**
 * How rows travel in Kafka. `json` and `avro`: one row a message. `packed`: many rows a message. `debezium`: one row a message, in its
 * envelope.
 */
export const MESSAGE_FORMATS = ['json', 'packed', 'avro', 'debezium'] as const;
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

/**
 * `replacing`: the newest version of each row. `merge-tree`: rows as they were inserted, for tables that only grow. `log`: a row for each
 * change, see `LOG_COLUMNS`.
 */
export const ENGINES = ['replacing', 'merge-tree', 'log'] as const;
export type Engine = (typeof ENGINES)[number];

/** `worker`: this program inserts. `kafka-engine`: ClickHouse reads the topic itself. */
export const LOADER_KINDS = ['worker', 'kafka-engine'] as const;
export type LoaderKind = (typeof LOADER_KINDS)[number];

export interface Target {
  readonly database: string;
  readonly table: string;
  /** What its floor and its view are named after; `table` when absent. Not in the ledger. */
  readonly base?: string;
  /** In ClickHouse, where a resync has noted it: another table may take the name. Not in the ledger. */
  readonly uuid?: string;
}

/** What inserts into a target. `kind` names an entry of the loader registry. */
export interface LoaderSpec {
  readonly kind: string;
  /** Lower-case letters, digits and `-`: part of the stage's id. */
  readonly name: string;
  readonly target: Target;
  /** Identity of the ClickHouse server on which the target was made; absent in older ledgers. */
  readonly server?: string;
  /** Name of that server in the settings (`CH_URL_<NAME>`), lower case; absent: the server of `CH_URL`. */
  readonly connection?: string;
  /** Of the target; `replacing` when absent. */
  readonly engine?: Engine;
  /** How its target is stored; absent: nothing was chosen. A target that a user made has its own. */
  readonly layout?: TargetLayout;
  /** The last one; absent where there was none. */
  readonly resync?: Resync;
  /** Old tables of its resyncs that are kept, oldest first; absent: none. */
  readonly kept?: readonly KeptTable[];
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
  /** Something goes on without its slices: this activity ends it, where the stage is not wanted any more. */
  readonly stops?: 'stopEngine';
}

export const STAGE_ACTIVITIES = [
  'copyTable',
  'publishSlice',
  'loadSlice',
  'directSlice',
  'watchEngine',
  'replaySlice',
] as const;
export type StageActivity = (typeof STAGE_ACTIVITIES)[number];

export const COPY_STAGE: StageId = 'copy';
export const PUBLISH_STAGE: StageId = 'publish';

/** The next one of the stages that are numbered: `replay:3` after `replay:2`. @param stages those of its kind that the ledger has */
export function nextStage(kind: string, stages: readonly { readonly stage: StageId }[]): StageId {
  return `${kind}:${1 + Math.max(0, ...stages.map(({ stage }) => Number(stage.split(':')[1])))}`;
}

export function loadStage(loader: string): StageId {
  return `load:${loader}`;
}

/** The first load of a loader's target. */
export function copyStage(loader: string): StageId {
  return loader === MAIN_LOADER ? COPY_STAGE : `${COPY_STAGE}:${loader}`;
}

/** From the capture straight into the target of a loader. */
export function directStage(loader: string): StageId {
  return `direct:${loader}`;
}

/** The loader that a stage belongs to; undefined for a stage of the whole table, and for a replay. */
export function loaderOf(stage: StageId): string | undefined {
  return stage === COPY_STAGE ? MAIN_LOADER : /^(?:copy|load|direct):(.+)$/u.exec(stage)?.[1];
}

/** What a stage reads from: the table itself, the capture, or the topic. */
export type StageInput = 'table' | 'capture' | 'topic';

export function inputOf(stage: StageId): StageInput {
  if (stage === COPY_STAGE || /^(?:copy|backfill):/u.test(stage)) return 'table';
  return /^(?:load|replay):/u.test(stage) ? 'topic' : 'capture';
}

/** Where changes wait for a stage, as people say it: `the outbox`, `the table`, `Kafka`; null for a first load. */
export function waitingPlace(route: Pick<Route, 'capture'>, stage: StageId): string | null {
  const place = route.capture.appendOnly === true ? 'the table' : 'the outbox';
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
  readonly capture: Pick<CaptureSpec, 'appendOnly' | 'everyChange' | 'foreignTopic'>;
  readonly transport: Pick<TransportSpec, 'kind'>;
  /** A loader without a kind is a worker. */
  readonly loaders: readonly (Pick<LoaderSpec, 'name'> & Partial<Pick<LoaderSpec, 'kind'>>)[];
}

/**
 * The stages of a route, in the order in which a row meets them. The only place that knows which stages a route has. What only
 * grows needs no copy: its capture reads it from the first row. A log begins with the rows that were there when it was added.
 */
export function stagesOf({ capture, transport, loaders }: StagedRoute): readonly StageSpec[] {
  const first =
    capture.appendOnly === true || capture.everyChange === true ? [] : loaders.map(({ name }) => copySpec(name));
  if (transport.kind === 'direct') return [...first, ...loaders.map(({ name }) => directSpec(name))];
  const loads = loaders.map(loadSpec);
  if (capture.foreignTopic === true) return [...first, ...loads];
  const publish: StageSpec = { id: PUBLISH_STAGE, activity: 'publishSlice', queue: 'producer', runs: 'always' };
  return [...first, publish, ...loads];
}

/** The stage that fills the target of a loader with what the table held when the loader was added. */
export function copySpec(loader: string): StageSpec {
  return { id: copyStage(loader), activity: 'copyTable', queue: 'producer', runs: 'once' };
}

function directSpec(loader: string): StageSpec {
  return { id: directStage(loader), activity: 'directSlice', queue: 'producer', runs: 'always' };
}

function loadSpec({ name, kind }: StagedRoute['loaders'][number]): StageSpec {
  const stage = { id: loadStage(name), queue: 'consumer', runs: 'always' } as const;
  return kind === 'kafka-engine'
    ? { ...stage, activity: 'watchEngine', stops: 'stopEngine' }
    : { ...stage, activity: 'loadSlice' };
}

/** The stage that brings rows into the target of a loader. */
export function deliveryStage({ transport }: Pick<StagedRoute, 'transport'>, loader: string = MAIN_LOADER): StageId {
  return transport.kind === 'direct' ? directStage(loader) : loadStage(loader);
}
