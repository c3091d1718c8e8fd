import type { Changes } from '../domain/change.js';

/** The rows of a batch, on their way out of PostgreSQL. */
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
  /** `json`: one flat object a row. `text`: a line of COPY text, with the columns of `targetColumns` in their order. */
  readonly rows: 'json' | 'text';
  /** False where nobody needs the keys (half a microsecond a row): no message has one, and all rows go to one partition. */
  readonly key: boolean;
}
