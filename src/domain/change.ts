/**
 * The most that a message may hold. A broker closes the connection without an error on a request above
 * `socket.request.max.bytes` (100 MB), which would look like an outage.
 */
export const MOST_MESSAGE_BYTES = 100_000_000;

/** Bytes from `start` up to `end`: a view that costs no Buffer of its own. */
export interface Span {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A change on its way from the drain to Kafka: bytes, never a parsed row. */
export interface Change {
  readonly kind: 'row' | 'truncate';
  /** Compact JSON array of the key columns in key order, as UTF-8; empty for a TRUNCATE marker. */
  readonly key: Span;
  /**
   * The row's columns and `_version`, `_deleted`, for a tombstone the key columns only; without raw newlines. One flat JSON
   * object, or a line of COPY text where the message format wants text (`FORMATS` in `src/messages`); a TRUNCATE marker is always
   * JSON.
   */
  readonly value: Span;
  /** Highest `seq` of this key in the batch, in decimal digits: the major part of its version. */
  readonly seq: Span;
}

const FIELDS = 6;

/** Many changes in one text, kept as offsets: an object and two Buffers for each change would cost more than sending it. */
export class Changes {
  readonly text: Uint8Array;
  readonly #fields: number[] = [];

  constructor(text: Uint8Array) {
    this.text = text;
  }

  get length(): number {
    return this.#fields.length / FIELDS;
  }

  /** Each pair of offsets bounds a part of the text. A change without a key is a TRUNCATE marker. */
  push(seqStart: number, seqEnd: number, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    this.#fields.push(seqStart, seqEnd, keyStart, keyEnd, valueStart, valueEnd);
  }

  at(index: number): Change {
    const fields = this.#fields;
    const bytes = this.text;
    const from = index * FIELDS;
    const seq = { bytes, start: fields[from] ?? 0, end: fields[from + 1] ?? 0 };
    const key = { bytes, start: fields[from + 2] ?? 0, end: fields[from + 3] ?? 0 };
    const value = { bytes, start: fields[from + 4] ?? 0, end: fields[from + 5] ?? 0 };
    return { kind: key.start === key.end ? 'truncate' : 'row', key, value, seq };
  }

  *[Symbol.iterator](): Generator<Change, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}
