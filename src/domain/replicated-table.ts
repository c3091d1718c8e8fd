import {
  MAIN_LOADER,
  type Engine,
  type LoaderKind,
  type LoaderSpec,
  type MessageFormat,
  type Payload,
  type Route,
  type Target,
  type TransportKind,
} from './route.js';
import type { Deployment } from './deployment.js';
import { liveUuid } from './resync.js';
import type { RowFilter } from './row-filter.js';
import type { Shape } from './shape.js';
import type { TableName } from './table-name.js';
import type { TargetLayout } from './target-layout.js';

/** A column of the source table, as in the catalogue. */
export interface Column {
  /** Its name in PostgreSQL now. */
  readonly name: string;
  /** `attnum`: it stays the same when a column is renamed. */
  readonly position: number;
  /** `format_type(oid, null)` without modifiers, e.g. `bigint`, `character varying`; `enum` for every enum type.
   * A domain counts as what it is made of, but `domain over enum`. */
  readonly type: string;
  /** `numeric(p,s)`: p. */
  readonly precision?: number;
  /** `numeric(p,s)`: s. */
  readonly scale?: number;
  readonly nullable: boolean;
  /** Of a base type that is not PostgreSQL's own: its `=`, qualified, as `operator(public.=)`. */
  readonly equals?: string;
  /** The ClickHouse type that the user chose, without Nullable. */
  readonly clickhouse?: string;
  /** What happens to a value that the ClickHouse type has no place for; `refuse` when absent. */
  readonly policy?: Policy;
  /** How the user wants it compressed in ClickHouse: what stands in `CODEC(..)`. */
  readonly codec?: string;
  /** The name that the user chose for it, see `shownName`. A RENAME COLUMN of PostgreSQL does not change it. */
  readonly shown?: string;
  /** See `physicalName`. */
  readonly physical?: string;
  /**
   * What its rows of before have, where it was added with a constant default: a value as COPY text, without quotes. PostgreSQL writes no
   * row and no event then.
   */
  readonly missing?: string;
}

/** A column of the source that is left out, with its name of that day. */
export type ExcludedColumn = Pick<Column, 'name' | 'position'>;

/**
 * What happens to a value that has no exact place in ClickHouse: the column holds its text, NULL or the nearest value that has a
 * place, or the row is refused.
 */
export const POLICIES = ['text', 'null', 'clamp', 'refuse'] as const;
export type Policy = (typeof POLICIES)[number];

/** Whether its column in ClickHouse takes NULL. */
export function takesNull({ nullable, policy }: Pick<Column, 'nullable' | 'policy'>): boolean {
  return nullable || policy === 'null';
}

/** The name of a column in the view and in messages (keys of JSON, the header of columns). */
export function shownName({ name, shown }: Pick<Column, 'name' | 'shown'>): string {
  return shown ?? name;
}

/**
 * The name of a column in the ClickHouse table. It is decided once for an attribute of PostgreSQL and is never changed or given to
 * another one: an insert that is in flight while a column is renamed, or dropped and added, loses its values or brings old ones into
 * the new column.
 */
export function physicalName(column: Pick<Column, 'name' | 'shown' | 'physical'>): string {
  return column.physical ?? shownName(column);
}

/** Columns of rows that have the names of the target, as those that were read from PostgreSQL, and not those of messages. */
export function underPhysicalNames(columns: readonly Column[]): readonly Column[] {
  return columns.map((column) => ({ ...column, shown: physicalName(column) }));
}

/** `row` where statement triggers would not fire: on relatives of other tables. */
export const TRIGGER_LEVELS = ['statement', 'row'] as const;
export type TriggerLevel = (typeof TRIGGER_LEVELS)[number];

/** What a user may choose for the columns of a table. Names are those of the source. */
export interface ColumnOptions {
  /** By column: its ClickHouse type, without Nullable. */
  readonly types?: Readonly<Record<string, string>> | undefined;
  /** By column. */
  readonly policies?: Readonly<Record<string, Policy>> | undefined;
  /** Of all other columns with values that have no place, but those of the key. */
  readonly policy?: Policy | undefined;
  /** By column: what stands in `CODEC(..)`. */
  readonly codecs?: Readonly<Record<string, string>> | undefined;
  /** Texts of few distinct values: columns that are `LowCardinality(String)`. */
  readonly lowCardinality?: readonly string[] | undefined;
  /** Columns that are not replicated. */
  readonly excluded?: readonly string[] | undefined;
  /** By column: its name in ClickHouse and in messages. */
  readonly renamed?: Readonly<Record<string, string>> | undefined;
}

/** What a user may choose for a table; defaults come from the settings. */
export interface TableOptions extends ColumnOptions {
  /** Columns of a unique index that serves as the key; the primary key when absent. */
  readonly key?: readonly string[] | undefined;
  /** A condition in SQL over columns of the table: only rows for which it is true are replicated. */
  readonly where?: string | undefined;
  readonly topic?: string | undefined;
  /** `table` or `database.table` in ClickHouse. */
  readonly target?: string | undefined;
  readonly format?: MessageFormat | undefined;
  /** Which capture sees the changes: a kind of the registry; `outbox` when absent. */
  readonly capture?: string | undefined;
  /** `direct` for a capture of a table that only grows, else `kafka`, when absent. */
  readonly transport?: TransportKind | undefined;
  /** `row` when absent. */
  readonly payload?: Payload | undefined;
  /** `worker` when absent. */
  readonly loader?: LoaderKind | undefined;
  /** `replacing` when absent. */
  readonly engine?: Engine | undefined;
  /** What the target is ordered by, in ClickHouse's SQL; the key when absent. */
  readonly orderBy?: string | undefined;
  /** What it is partitioned by, likewise. */
  readonly partitionBy?: string | undefined;
  /** When its rows are deleted, likewise. */
  readonly ttl?: string | undefined;
  /** No UPDATE changes what `ttl` is of a row. */
  readonly constantTtl?: boolean | undefined;
  /** A cluster of ClickHouse: the target is made on each of its servers. */
  readonly cluster?: string | undefined;
  /** `poll`, `notify`: the column whose values only grow; the key column when absent. */
  readonly cursor?: string | undefined;
  /** `notify`: a channel on which triggers of the user's notify; one of our own when absent. */
  readonly channel?: string | undefined;
  /** `poll`, `notify`: the longest pause between two looks, milliseconds. */
  readonly intervalMs?: number | undefined;
}

/** Those that belong to the capture. */
export type CaptureOptions = Pick<
  TableOptions,
  'key' | 'where' | 'engine' | 'cursor' | 'channel' | 'intervalMs' | 'loader' | keyof ColumnOptions
> & {
  /** A table that was added before keeps what was chosen for its columns, whatever else is given. */
  readonly known?:
    (Pick<ReplicatedTable, 'columns' | 'excluded' | 'where'> & Partial<Pick<ReplicatedTable, 'route'>>) | undefined;
};

/** A replicated table as the ledger holds it: everything the slices need to know about it. */
export interface ReplicatedTable {
  /** Ledger id, a decimal string; names the outbox table, whatever the source table is called. */
  readonly id: string;
  readonly pipeline: string;
  /** That it was added with: its commands, workflow, topic and target keep it. */
  readonly name: TableName;
  /** See `sourceName`. */
  readonly source?: TableName;
  /** `pg_class.oid` at the time it was added. */
  readonly relation: string;
  /** 1..255; rises when the table is added again. Part of every version, batch name and token. */
  readonly generation: number;
  /** From 1; rises when the columns change. Part of every version, message and batch name. */
  readonly shape: number;
  readonly columns: readonly Column[];
  /** Columns that are left out; absent: none is. */
  readonly excluded?: readonly ExcludedColumn[];
  /** Absent: all rows are replicated. */
  readonly where?: RowFilter;
  /** All shapes so far, in their order; absent while there is one. */
  readonly shapes?: readonly Shape[];
  /** Key column names, in key order. */
  readonly key: readonly string[];
  readonly route: Route;
  /** Catalogue entries of the source table as text, compared at every slice: an ALTER writes no event. */
  readonly fingerprint: string;
  /** Who added it; absent where a release did that had no identity of deployments, until its next preparing. */
  readonly owner?: Deployment;
  /**
   * Kinds of captures that are installed beside that of the route, or may be: a change of the route makes the new one before it
   * takes the old one away. Absent: none.
   */
  readonly spareCaptures?: readonly string[];
  /** Rows of this generation, of a table that is never copied, came by another way than its topic. */
  readonly partialTopic?: boolean;
  /** It was ready before deployments had an identity: the marks of its targets may lack that of its owner. */
  readonly adopted?: boolean;
}

/** What PostgreSQL calls a table by now: statements use it. */
export function sourceName({ name, source }: Pick<ReplicatedTable, 'name' | 'source'>): TableName {
  return source ?? name;
}

/** Whether it is a partitioned table, whose rows are those of its partitions. Any other table is read without its heirs. */
export function isTree({ route }: Partial<Pick<ReplicatedTable, 'route'>>): boolean {
  return route?.capture['isTree'] === true;
}

/** A table with the target of one of its loaders. */
export interface TargetTable extends Pick<
  ReplicatedTable,
  'id' | 'pipeline' | 'name' | 'source' | 'generation' | 'shape' | 'columns' | 'excluded' | 'where' | 'shapes' | 'key'
> {
  readonly target: Target;
  /** That of the table, where the ledger knows it: remedies repeat it. */
  readonly route?: Route;
  /** Name of the loader; `main` when absent. */
  readonly loader?: string;
  /** As in `LoaderSpec`. */
  readonly connection?: string;
  /** As in `LoaderSpec`. */
  readonly engine?: Engine;
  /** As in `LoaderSpec`. */
  readonly layout?: TargetLayout;
  /** As in `LoaderSpec`. */
  readonly server?: string;
  /** The id of the deployment that owns the target. */
  readonly deployment?: string;
  /** Marks without a deployment's id are its own too: an older release made its target. */
  readonly oldMarks?: boolean;
}

/** @throws Error if the table has no loader of that name */
export function loaderNamed(table: Pick<ReplicatedTable, 'route'>, name = MAIN_LOADER): LoaderSpec {
  const loader = table.route.loaders.find((each) => each.name === name);
  if (loader === undefined) throw new Error(`the table has no loader "${name}"`);
  return loader;
}

/** The key columns as ClickHouse calls them, in key order. */
export function physicalKey(table: Pick<ReplicatedTable, 'columns' | 'key'>): string[] {
  return table.key.map((name) => physicalNameOf(table, name));
}

/** @param name of a column in PostgreSQL */
export function physicalNameOf({ columns }: Pick<ReplicatedTable, 'columns'>, name: string): string {
  const column = columns.find((each) => each.name === name);
  return column === undefined ? name : physicalName(column);
}

/** The one that was there first, `main` unless it was removed. @throws Error if the table has none, which no table is without */
export function firstLoader({ route }: Pick<ReplicatedTable, 'route'>): LoaderSpec {
  const [first] = route.loaders;
  if (first === undefined) throw new Error('the table has no loader');
  return first;
}

/** The table with the target of its loader `name`. @throws Error as `loaderNamed` */
export function targetTable(table: ReplicatedTable, name = MAIN_LOADER, deployment?: string): TargetTable {
  return targetOf(table, loaderNamed(table, name), deployment);
}

/** The table with the target of a loader, also of one that is not in its route. */
export function targetOf(table: ReplicatedTable, loader: LoaderSpec, deployment?: string): TargetTable {
  const { name, target, server, engine, layout, connection } = loader;
  const uuid = liveUuid(loader);
  const oldMarks = table.owner === undefined || (table.adopted === true && table.owner.id === deployment);
  return {
    ...table,
    target: uuid === undefined ? target : { uuid, ...target },
    loader: name,
    oldMarks,
    ...(connection === undefined ? {} : { connection }),
    ...(engine === undefined ? {} : { engine }),
    ...(layout === undefined ? {} : { layout }),
    ...(server === undefined ? {} : { server }),
    ...(deployment === undefined ? {} : { deployment }),
  };
}
