import type { Change, Span } from '../../domain/change.js';

/** A message that is complete but for its place in the batch. Its bytes are good until `give` returns. */
export interface Sealed {
  readonly partition: number;
  readonly key: Span | null;
  readonly value: Span;
  readonly rows: number;
  /** Highest `seq` in it, in decimal digits. */
  readonly highest: Span;
  readonly kind: 'rows' | 'truncate';
}

export type Give = (message: Sealed) => void;

/** How changes become messages: a file a format. What is given comes in the order of the changes, per partition. */
export interface Envelope {
  /** Takes a change, and gives the messages that it completes. */
  add(change: Change, give: Give): void;
  /** Gives what is left. */
  end(give: Give): void;
}

/** A mark is always a message of its own, in partition 0: it is about the table, not about a key. */
export function sealMark(mark: Change): Sealed {
  return { partition: 0, key: null, value: mark.value, rows: 0, highest: mark.seq, kind: 'truncate' };
}
