import type { Message } from 'kafkajs';
import { MESSAGE_HEADER, printHeader } from '../domain/message-header.js';
import type { Sealed } from './envelope/envelope.js';

/** kafkajs groups the messages of a send in O(n^2): 1,000 take 5 ms, 10,000 block the process for 109 ms, 50,000 for 22 s. */
const MOST_MESSAGES = 1_000;
/** One send is one record batch, and `max.message.bytes` (1 MB) is a limit of the batch. */
export const MOST_BYTES = 900_000;
/** Of a record beside its key and value, at most: lengths, deltas, our header. */
const RECORD_BYTES = 120;

/** What one send carries: messages of one partition, in order. */
export interface Parcel {
  readonly partition: number;
  readonly messages: (Message & { readonly partition: number })[];
  bytes: number;
}

/** Collects the messages of one batch into parcels, and numbers their rows. */
export class ParcelCounter {
  readonly #name: { readonly generation: number; readonly batch: number };
  readonly #mostBytes: number;
  readonly #open = new Map<number, Parcel>();
  #row = 0;

  /** @param mostBytes of a parcel of several messages */
  constructor(name: { generation: number; batch: number }, mostBytes: number) {
    this.#name = name;
    this.#mostBytes = mostBytes;
  }

  /** @returns the parcel that is complete without this message */
  add(sealed: Sealed): Parcel | undefined {
    const { partition, key, value, rows, highest, kind } = sealed;
    const { generation, batch } = this.#name;
    const header = printHeader({ generation, batch, row: this.#row, rows, highest, kind });
    this.#row += rows;
    const bytes = value.length + (key?.length ?? 0) + RECORD_BYTES;
    const message = { partition, key, value, headers: { [MESSAGE_HEADER]: header } };
    const open = this.#open.get(partition);
    if (open !== undefined && open.messages.length < MOST_MESSAGES && open.bytes + bytes <= this.#mostBytes) {
      open.messages.push(message);
      open.bytes += bytes;
      return undefined;
    }
    this.#open.set(partition, { partition, messages: [message], bytes });
    return open;
  }

  /** What is left. */
  end(): Parcel[] {
    const left = [...this.#open.values()];
    this.#open.clear();
    return left;
  }
}
