import type { Change } from '../../domain/change.js';

/** A message that is complete but for its place in the batch. */
export interface Sealed {
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer;
  readonly rows: number;
  /** Highest `seq` in it, decimal. */
  readonly highest: string;
  readonly kind: 'rows' | 'truncate';
}

/** How changes become messages: a file a format. What is given comes in the order of the changes, per partition. */
export interface Envelope {
  /** Takes a change, and gives the messages that it completes. */
  add(change: Change, give: (message: Sealed) => void): void;
  /** Gives what is left. */
  end(give: (message: Sealed) => void): void;
}

/** A mark is always a message of its own, in partition 0: it is about the table, not about a key. */
export function sealMark(mark: Change): Sealed {
  return { partition: 0, key: null, value: mark.value, rows: 0, highest: mark.seq, kind: 'truncate' };
}
