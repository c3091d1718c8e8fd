import type { TableName } from './table-name.js';

/** A column of the source table, as the catalogue tells it. */
export interface Column {
  readonly name: string;
  /** `attnum`: tells a rename from a drop and an add. */
  readonly position: number;
  /** `format_type(oid, null)` without modifiers, e.g. `bigint`, `character varying`; `enum` for every enum type. */
  readonly type: string;
  /** `numeric(p,s)`: p. */
  readonly precision?: number;
  /** `numeric(p,s)`: s. */
  readonly scale?: number;
  readonly nullable: boolean;
}

/** How rows travel in Kafka: one row a message, or many rows a message, newline-separated. */
export const MESSAGE_FORMATS = ['json', 'packed'] as const;
export type MessageFormat = (typeof MESSAGE_FORMATS)[number];

/** Row-level where statement triggers would not fire: partitioned and inherited tables, tables fed by a subscription. */
export const TRIGGER_LEVELS = ['statement', 'row'] as const;
export type TriggerLevel = (typeof TRIGGER_LEVELS)[number];

/** What a user may choose for a table; defaults come from the settings. */
export interface TableOptions {
  /** Columns of a unique index that serves as the key; the primary key when absent. */
  readonly key?: readonly string[] | undefined;
  readonly topic?: string | undefined;
  /** `table` or `database.table` in ClickHouse. */
  readonly target?: string | undefined;
  readonly format?: MessageFormat | undefined;
}

/** A replicated table as the ledger holds it: everything the slices need to know about it. */
export interface ReplicatedTable {
  /** Ledger id, a decimal string; names the outbox table, whatever the source table is called. */
  readonly id: string;
  readonly pipeline: string;
  readonly name: TableName;
  /** `pg_class.oid` at the time it was added. */
  readonly relation: string;
  /** 1..255; rises whenever positions start again. Part of every version, batch name and token. */
  readonly generation: number;
  readonly columns: readonly Column[];
  /** Key column names, in key order. */
  readonly key: readonly string[];
  readonly triggerLevel: TriggerLevel;
  readonly topic: string;
  /** Partitions of the topic when it was made; adding some parks the table. */
  readonly partitions: number;
  readonly format: MessageFormat;
  readonly target: { readonly database: string; readonly table: string };
  /** Fingerprint of the source table: what no event announces, so it is compared at every slice. */
  readonly fingerprint: string;
}
