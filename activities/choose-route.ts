import type { PrepareRequest } from '../src/domain/receipt.js';
import type { TableOptions } from '../src/domain/replicated-table.js';
import {
  engineOf,
  MAIN_LOADER,
  type CaptureSpec,
  type Route,
  type TransportKind,
  type TransportSpec,
} from '../src/domain/route.js';
import type { TakenNames } from '../src/ledger/registration.js';
import type { Settings } from '../src/settings/settings.js';
import { layoutOf } from '../src/domain/target-layout.js';
import { chooseTarget, chooseTopic } from './choose-names.js';

export const DEFAULT_CAPTURE = 'outbox';

export interface RouteContext {
  readonly settings: Settings;
  /** How the capture will see the changes, from its inspection. */
  readonly capture: CaptureSpec;
  readonly taken: readonly TakenNames[];
  /** Identity of the ClickHouse server, where it is known. */
  readonly server?: string;
}

/** The route that a table gets: by its options, else by the settings. */
export function chooseRoute(request: PrepareRequest, context: RouteContext): Route {
  const { options } = request;
  const { settings, capture, taken, server } = context;
  const layout = layoutOf(options);
  return {
    capture,
    transport: chooseTransport(request, context),
    loaders: [
      {
        kind: options.loader ?? 'worker',
        name: MAIN_LOADER,
        target: chooseTarget(request, settings, taken),
        ...(server === undefined ? {} : { server }),
        ...(options.engine === undefined ? {} : { engine: options.engine }),
        ...(layout === undefined ? {} : { layout }),
      },
    ],
  };
}

/**
 * What is asked of messages where there are none. `json` and `row` are what every table has that says nothing.
 * @returns why that means nothing, and the nearest way that works
 */
export function strayMessages(
  { format, payload, transport: asked }: TableOptions,
  { capture, transport, loaders }: Route,
): string | undefined {
  if (transport.kind !== 'direct') return undefined;
  const option = format !== undefined && format !== 'json' ? `--format ${format}` : undefined;
  const stray = option ?? (payload === 'key' ? '--payload key' : undefined);
  if (stray === undefined) return undefined;
  const why = asked === undefined ? `${whyDirect(capture)} goes without` : '--transport direct has none';
  // A topic may hold a row twice: the other engines keep both.
  const takesTopic = loaders.every((loader) => engineOf(loader) === 'replacing');
  return `${stray} is of messages in Kafka, and ${why}. ${takesTopic ? `Use --transport kafka, or leave ${stray} out` : `Leave ${stray} out`}.`;
}

/** Nobody asked for it: the capture or the settings did. */
function whyDirect({ kind, appendOnly, everyChange }: CaptureSpec): string {
  if (everyChange === true) return '--engine log';
  return appendOnly === true ? `--capture ${kind}` : 'PG2CLICK_TRANSPORT=direct';
}

const OF_CURSORS = ['cursor', 'channel', 'intervalMs'] as const satisfies readonly (keyof TableOptions)[];

/** @returns why options that were given mean nothing to the capture */
export function strayOptions(
  given: TableOptions,
  {
    kind,
    appendOnly,
    foreignTopic,
    everyChange,
  }: Pick<CaptureSpec, 'kind' | 'appendOnly' | 'foreignTopic' | 'everyChange'>,
): string | undefined {
  if (foreignTopic === true && given.topic === undefined)
    return `--capture ${kind} reads a topic that others write: name it with --topic.`;
  if (given.cluster !== undefined && (given.engine === 'merge-tree' || given.engine === 'log'))
    return `Servers of a cluster insert by themselves, and with --engine ${given.engine} each row must come once. Leave --cluster or --engine ${given.engine} out.`;
  if (everyChange === true && given.where !== undefined)
    return 'A row filter sees a row as it is, and a log has every change of a row. Leave --where or --engine log out.';
  if (given.cluster !== undefined && given.loader === 'kafka-engine')
    return 'With --cluster each server would read the topic by itself. Leave --cluster or --loader kafka-engine out.';
  if (appendOnly === true || OF_CURSORS.every((option) => given[option] === undefined)) return undefined;
  return 'A cursor, a channel and an interval are for captures of tables that only grow. Leave them out.';
}

/** What only grows has no need of a buffer: its rows wait in the table itself. Of a log each change must come once. */
export function transportKindOf(
  { transport }: TableOptions,
  { appendOnly, everyChange, foreignTopic }: Pick<CaptureSpec, 'appendOnly' | 'everyChange' | 'foreignTopic'>,
  settings: Pick<Settings, 'transport'>,
): TransportKind {
  if (foreignTopic === true) return transport ?? 'kafka';
  return transport ?? (appendOnly === true || everyChange === true ? 'direct' : settings.transport);
}

function chooseTransport(request: PrepareRequest, { settings, capture, taken }: RouteContext): TransportSpec {
  const { options } = request;
  const kind = transportKindOf(options, capture, settings);
  // A kind that nobody knows is refused as it is.
  if (kind !== 'kafka') return { kind };
  return {
    kind,
    topic: chooseTopic(request, settings, taken),
    // What the topic really has is known once it is made.
    partitions: settings.kafka.partitions,
    // Keys are JSON, whatever the settings say of rows.
    format:
      options.format ??
      (options.payload === 'key' || options.loader === 'kafka-engine' || capture.foreignTopic === true
        ? 'json'
        : settings.kafka.format),
    payload: options.payload ?? 'row',
  };
}
