import type { Column } from '../replicated-table.js';

/** An SQL expression of PostgreSQL, given the (quoted) expression of a column. */
export type Expression = (column: string) => string;

/** How a value is printed for ClickHouse. */
export interface Printing {
  /** What `COPY (select ...)` prints for ClickHouse's TabSeparated. */
  readonly copy: Expression;
  /** What `copy` gives for a column that takes no NULL where there is no row: SQL. Nobody sees the values of a tombstone. */
  readonly absent: string;
  /** Text of the JSON of a value, for ClickHouse's JSONEachRow; NULL stays NULL. */
  readonly json: Expression;
  /** Of types that JSON has as a text without escapes: what stands between the quotes. It saves two concatenations a value. */
  readonly jsonText?: Expression;
  /** The same as Debezium writes it, for values of any size, where that differs from `json`; NULL stays NULL. */
  readonly debezium?: Expression;
}

/** Which values of a PostgreSQL type a ClickHouse type has no place for. */
export interface Outside {
  /** A condition: true for a value without a place. */
  readonly when: Expression;
  /** The value nearest to it that has a place; absent where no value is near. It keeps what only `refuse` can treat, like NaN. */
  readonly nearest?: Expression;
  /** SQL of the type of `Place.value` that ClickHouse refuses to read; absent where ClickHouse refuses such values as they are. */
  readonly mark?: string;
  /** In words, as a noun: `dates before 1900-01-01 or after 2299-12-31`. */
  readonly words: string;
}

/** A ClickHouse type that values of a PostgreSQL type can be stored in. */
export interface Place extends Printing {
  /** Without Nullable. */
  readonly clickhouse: string;
  /** What of the column `outside` looks at and the value is printed of; the column itself when absent. */
  readonly value?: Expression;
  /** Absent: every value of the type has a place. */
  readonly outside?: Outside;
}

/** Which values are one key. */
export interface Identity {
  /** Whether a key may hold the type. */
  readonly key: boolean;
  /** Equal exactly where the texts that we send are equal: what events are grouped and keys are joined by. */
  readonly image: Expression;
  /**
   * The image is a text, which is not of the column's type: the outbox keeps the value itself, and both values of an update, because
   * `union` would drop one of two that are only `=`.
   */
  readonly textImage?: boolean;
  /** The operator that the key's index answers; `=` when absent. */
  readonly equals?: string;
}

/** One row of the table of types: everything that is known of a PostgreSQL type. */
export interface TypeRow extends Identity {
  /** As `Column.type` has them. */
  readonly names: readonly string[];
  /** Where its values are stored if the user chooses nothing. */
  readonly place: (column: Column) => Place;
  /** Its exact text as PostgreSQL prints it: what `String` holds. */
  readonly text: Expression;
  /** @returns undefined for a ClickHouse type that has nothing to do with its values */
  readonly choose?: (wanted: string, column: Column) => Place | undefined;
  /** The types that `choose` knows, for people. */
  readonly choices?: string;
  /** For people: what is stored, and what happens at the edges of the type. */
  readonly remarks: string;
}
