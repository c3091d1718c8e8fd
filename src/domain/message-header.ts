/** Name of the one header of our messages. One, because every header costs the producer and the consumer a few us. */
export const MESSAGE_HEADER = 'pg2click';

/** What a message says of itself, beside its rows. */
export interface MessageHeader {
  readonly generation: number;
  /** Publish batch number. */
  readonly batch: number;
  /** Number of the first row of this message within its batch, from 0. */
  readonly row: number;
  /** Rows in this message: 1, or more when packed. */
  readonly rows: number;
  /** Highest `seq` (major part of the version) in this message, decimal. */
  readonly highest: string;
  /** `rows`: row values; `truncate`: a mark whose value is `{"_version": "..."}`. */
  readonly kind: 'rows' | 'truncate';
}

/** `generation/batch/row/rows/highest`, and `/truncate` for a mark. */
export function printHeader(header: MessageHeader): string {
  const text = `${header.generation}/${header.batch}/${header.row}/${header.rows}/${header.highest}`;
  return header.kind === 'truncate' ? `${text}/truncate` : text;
}

/** @returns undefined for a text that is not ours: the caller decides what a foreign message means */
export function parseHeader(text: string): MessageHeader | undefined {
  const match = /^(\d+)\/(\d+)\/(\d+)\/(\d+)\/(\d+)(\/truncate)?$/u.exec(text);
  if (match === null) return undefined;
  const [, generation, batch, row, rows, highest, truncate] = match;
  return {
    generation: Number(generation),
    batch: Number(batch),
    row: Number(row),
    rows: Number(rows),
    highest: highest ?? '0',
    kind: truncate === undefined ? 'rows' : 'truncate',
  };
}
