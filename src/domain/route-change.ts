import type { TableOptions } from './replicated-table.js';
import {
  engineOf,
  inputOf,
  kafkaOf,
  OUTBOX_CAPTURES,
  stagesOf,
  type CaptureSpec,
  type Route,
  type StageId,
} from './route.js';

/** What may be changed on a table that is replicated. What is absent stays as it is. */
export interface RouteOptions extends Pick<
  TableOptions,
  'capture' | 'transport' | 'topic' | 'format' | 'payload' | 'loader' | 'engine' | 'cursor' | 'channel' | 'intervalMs'
> {
  /** The user says that rows of the table are never updated nor deleted. */
  readonly appendOnly?: boolean | undefined;
}

/**
 * The steps of a change, in order. Each may be repeated from any point. What else runs meanwhile:
 *   preparing   everything: what can be refused is refused here
 *   draining    everything but the stage that reads the capture; the loaders empty the topic
 *   switching   nothing: one transaction of the ledger exchanges the route
 *   clearing    nothing: what captured the changes before is taken away
 */
export const CHANGE_STEPS = ['preparing', 'draining', 'switching', 'clearing'] as const;
export type ChangeStep = (typeof CHANGE_STEPS)[number];

/**
 * What a change does to positions.
 *   none        nothing differs
 *   messages    format or payload: who reads a message follows its header, so nothing is drained
 *   to-direct, to-kafka   positions and generation go on; the topic is loaded to its end before it is left
 *   wake        poll <-> notify: positions and generation go on
 *   next-generation   to a capture of every change: the next generation, with a first load
 *   growing     from every change to inserts only: the next generation, from where the table stands
 *   overlap     outbox <-> wal: both fill one outbox for a while; positions and generation go on
 */
export const CHANGE_KINDS = [
  'none',
  'messages',
  'to-direct',
  'to-kafka',
  'wake',
  'next-generation',
  'growing',
  'overlap',
] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

/** The stage of a route that reads the capture. There is one: what was read is taken out of the capture. */
export function captureStageOf(route: Route): StageId {
  const stage = stagesOf(route).find(({ id }) => inputOf(id) === 'capture');
  if (stage === undefined) throw new Error('no stage of this route reads its capture');
  return stage.id;
}

/** Generation and positions start again. */
export function startsAgain(kind: ChangeKind): boolean {
  return kind === 'next-generation' || kind === 'growing';
}

export function changeKindOf(from: Route, to: Route): ChangeKind {
  if (!isSame(from.capture, to.capture)) {
    const kinds = [from.capture.kind, to.capture.kind];
    if (kinds[0] !== kinds[1] && kinds.every((kind) => OUTBOX_CAPTURES.includes(kind))) return 'overlap';
    if (to.capture.appendOnly !== true) return 'next-generation';
    return from.capture.appendOnly === true ? 'wake' : 'growing';
  }
  if (from.transport.kind !== to.transport.kind) return to.transport.kind === 'direct' ? 'to-direct' : 'to-kafka';
  return isSame(from.transport, to.transport) && isSame(from.loaders, to.loaders) ? 'none' : 'messages';
}

/**
 * Why a running table cannot be changed so; undefined where it can. What no table may have is for `reasonAgainst`, and the way out
 * for `wayOut`.
 */
export function refusalOfChange(from: Route, to: Route, { appendOnly = false }: RouteOptions): string | undefined {
  if (from.capture.kind !== to.capture.kind && (from.capture.foreignTopic ?? to.capture.foreignTopic) === true)
    return 'A topic that others write is read from the day on which the table is added.';
  if (to.capture.foreignTopic === true && to.loaders.some((loader, index) => loader.kind !== from.loaders[index]?.kind))
    return 'Whether messages of others hold all that ClickHouse needs is looked at when the table is added.';
  const kind = changeKindOf(from, to);
  if (kind === 'growing' && from.capture.kind === 'wal')
    return 'The WAL may be read behind the rows of the table: change to --capture outbox first.';
  if (kind === 'overlap' && [from, to].some(({ capture }) => capture['isTree'] === true))
    return 'A partitioned table is not changed from triggers to the WAL or back while it runs.';
  if (startsAgain(kind) && from.loaders.some((loader) => loader.kind === 'kafka-engine'))
    return 'The Kafka engine would read on where it stands, and a new generation begins elsewhere.';
  return (
    refusalOfLoaders(from, to) ??
    refusalOfTopic(from, to) ??
    refusalOfFormat(from, to) ??
    (kind === 'growing' ? refusalOfGrowing(from, to, appendOnly) : undefined) ??
    ((kind === 'wake' || kind === 'overlap') && from.transport.kind !== to.transport.kind
      ? ONE_AT_A_TIME
      : undefined) ??
    (kind === 'wake' && captureOption(from.capture, 'cursor') !== captureOption(to.capture, 'cursor')
      ? 'Positions are values of the cursor column, so it stays what it is.'
      : undefined)
  );
}

const ONE_AT_A_TIME = 'The capture and the transport are changed one after the other.';

function refusalOfGrowing(from: Route, to: Route, appendOnly: boolean): string | undefined {
  if (!appendOnly)
    return `${to.capture.kind} sees inserts only: updates and deletes would not arrive any more. If rows of this table are never updated nor deleted, say so with --append-only.`;
  return from.transport.kind === to.transport.kind ? undefined : ONE_AT_A_TIME;
}

function refusalOfTopic(from: Route, to: Route): string | undefined {
  const [before, after] = [kafkaOf(from), kafkaOf(to)];
  if (before === undefined || after === undefined || before.topic === after.topic) return undefined;
  return `The topic of a table stays ${before.topic}: others may read it.`;
}

function refusalOfFormat(from: Route, to: Route): string | undefined {
  const [before, after] = [kafkaOf(from), kafkaOf(to)];
  if (before === undefined || after === undefined || before.format === after.format) return undefined;
  return from.loaders.some((loader) => loader.kind === 'kafka-engine')
    ? `The Kafka engine reads one format, and messages in ${before.format} are in the topic.`
    : undefined;
}

function refusalOfLoaders(from: Route, to: Route): string | undefined {
  for (const loader of from.loaders) {
    const after = to.loaders.find(({ name }) => name === loader.name);
    if (after === undefined) return `The loader ${loader.name} is removed by "pg2click loader remove".`;
    if (engineOf(after) !== engineOf(loader))
      return `The engine of a ClickHouse table stays ${engineOf(loader)}: its rows are of another form.`;
    if (after.kind !== loader.kind) return `The loader of a running table stays ${loader.kind} in this release.`;
  }
  return undefined;
}

function captureOption(capture: CaptureSpec, option: string): unknown {
  return capture[option];
}

/** Equal as JSON, whatever the order of the fields: the ledger returns them in another one. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, sorted) === JSON.stringify(b, sorted);
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
