import type { Readable } from 'node:stream';
import type { IdRange } from '../domain/batch.js';
import type { Changes } from '../domain/change.js';
import type { Version } from '../domain/version.js';

/** The rows of a batch, on their way out of PostgreSQL to a topic. */
export interface RowBatch {
  /** To be read once, to its end or not at all. */
  readonly changes: AsyncIterable<Changes>;
  /**
   * Awaited before the first byte of what was read leaves: a row may be visible before its writer's commit is on disk, and would
   * be sent although a crash takes it back.
   */
  durable(): Promise<void>;
}

/** What the rows of a batch are to be. */
export interface RowContent {
  /**
   * `json`: one flat object a row. `text`: a line of COPY text, with the columns of `targetColumns` in their order. `keys`: one flat
   * object with the key columns and the version; the table is not read. `envelope`: the beginning of Debezium's envelope, with its key as
   * an object.
   */
  readonly rows: 'json' | 'text' | 'keys' | 'envelope';
  /** False where nobody needs the keys (half a microsecond a row): no message has one, and all rows go to one partition. */
  readonly key: boolean;
}

/** COPY text. Where it says how many rows have come so far, nobody looks for their ends to count them. */
export type RowText = Readable & { readonly rows?: number };

/** The rows of a batch, on their way out of PostgreSQL straight into ClickHouse. */
export interface RowStream {
  /**
   * COPY text, which is ClickHouse's TabSeparated byte for byte, to be read once. No byte comes before what it shows is on the disk
   * of PostgreSQL: see `RowBatch.durable`.
   */
  readonly rows: RowText;
  /** Every row of the target at or below it is hidden from then on; a TRUNCATE. */
  readonly floor: Version | undefined;
  /** The rows by the column of the target that numbers them, where they never change: the same ones come again under the same name. */
  readonly range: RowRange | undefined;
}

export interface RowRange {
  readonly column: string;
  /** In ascending order. Between two of them there may be numbers without a row. */
  readonly ids: readonly IdRange[];
  /** Where some numbers have no row: how many rows there are, and the highest number of one, decimal; undefined where there is none. */
  readonly known?: { readonly rows: number; readonly last: string | undefined } | undefined;
}

/** What the rows of a stream are to be. */
export interface StreamContent {
  /** True: the columns of `targetColumns`. False: those of the table alone, in the order of `byPosition`. */
  readonly versions: boolean;
}
