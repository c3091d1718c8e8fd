import { quoteCh } from '../../domain/identifier.js';
import type { LoaderSpec, Target } from '../../domain/route.js';
import { shownName, type TargetTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';

/**
 * The objects that let ClickHouse read a topic itself, in the order in which they are made. A message passes `kafka` ->
 * `consumer` -> `messages`, and from there to the target, to its floor, or to `errors`.
 */
export const ENGINE_ROLES = ['errors', 'messages', 'rows', 'marks', 'refused', 'kafka', 'consumer'] as const;
export type EngineRole = (typeof ENGINE_ROLES)[number];

const SUFFIXES: Readonly<Record<EngineRole, string>> = {
  /** A MergeTree: what could not be loaded. */
  errors: '_errors',
  /** Engine Null: it hands each message to three views and keeps none. */
  messages: '_messages',
  rows: '_to_rows',
  marks: '_to_floor',
  refused: '_to_errors',
  /** Engine Kafka. */
  kafka: '_kafka',
  /** While this view exists, the engine reads; without it, it does not. */
  consumer: '_consumer',
};

export function isView(role: EngineRole): boolean {
  return role === 'rows' || role === 'marks' || role === 'refused' || role === 'consumer';
}

export interface EngineNames {
  readonly database: string;
  /** Bare names. */
  readonly bare: Readonly<Record<EngineRole, string>>;
  /** Qualified and quoted. */
  readonly sql: Readonly<Record<EngineRole, string>>;
  /** `database.name`, for sentences. */
  readonly shown: Readonly<Record<EngineRole, string>>;
}

export function engineNames({ database, table }: Target): EngineNames {
  const each = (print: (name: string) => string): Readonly<Record<EngineRole, string>> =>
    Object.fromEntries(ENGINE_ROLES.map((role) => [role, print(`${table}${SUFFIXES[role]}`)])) as Readonly<
      Record<EngineRole, string>
    >;
  return {
    database,
    bare: each((name) => name),
    sql: each((name) => `${quoteCh(database)}.${quoteCh(name)}`),
    shown: each((name) => `${database}.${name}`),
  };
}

/** Columns of `messages` beside those of the table. */
export const MESSAGE_COLUMNS = {
  topic: '_kafka_topic',
  partition: '_kafka_partition',
  offset: '_kafka_offset',
  raw: '_kafka_raw',
  header: '_kafka_header',
  kind: '_kafka_kind',
  problem: '_kafka_problem',
} as const;

/**
 * Virtual columns of the Kafka table, and ours: a column of the user's that has one of these names would hide it. With a `_table` the
 * engine takes the messages, loads none and reports nothing.
 */
const RESERVED_BY_ENGINE =
  /^(?:_kafka_.*|_table|_database|_topic|_key|_partition|_offset|_timestamp|_timestamp_ms|_headers(?:\..*)?|_raw_message|_error)$/u;

/** @throws Failure `UnsuitableTable` */
export function refuseEngineNames({ name, columns }: Pick<TargetTable, 'name' | 'columns'>): void {
  const reserved = columns.find((column) => RESERVED_BY_ENGINE.test(shownName(column)));
  if (reserved === undefined) return;
  const shown = shownName(reserved);
  throw new Failure('UnsuitableTable', {
    message: `Table ${formatTableName(name)} has a column "${shown}": the Kafka engine of ClickHouse uses that name itself.`,
    remedy: 'Remove the table, and add it with --rename-column COLUMN=NAME, or with --loader worker.',
  });
}

/** The consumer group of one loader of one table: a table that is added again has another id, and so another group. */
export function groupName(
  { deployment = '', id }: Pick<TargetTable, 'deployment' | 'id'>,
  loader: LoaderSpec['name'],
): string {
  return `pg2click-${deployment}-${id}-${loader}`;
}
