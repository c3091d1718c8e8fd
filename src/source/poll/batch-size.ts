export interface BatchLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Rows are streamed, so a large batch takes no memory here; it is read again whole after a failure. */
export const STREAM_LIMITS: BatchLimits = { rows: 200_000, bytes: 16_000_000 };
/** As for an outbox: a part of the batch is in memory on its way to Kafka. */
export const TOPIC_LIMITS: BatchLimits = { rows: 50_000, bytes: 8_000_000 };

const FIRST_ROWS = 1_000;

/** How many rows the next batch has at most: by the measured size of a row. */
export class BatchSize {
  readonly #limits: BatchLimits;
  #rows = FIRST_ROWS;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get rows(): number {
    return this.#rows;
  }

  observe(rows: number, bytes: number): void {
    if (rows === 0) return;
    const rowBytes = Math.max(1, bytes / rows);
    this.#rows = Math.min(this.#limits.rows, Math.max(1, Math.floor(this.#limits.bytes / rowBytes)));
  }
}
