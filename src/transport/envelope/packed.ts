import type { Change } from '../../domain/change.js';
import { partitionOf } from '../partition.js';
import { sealMark, type Envelope, type Sealed } from './envelope.js';

/** Measured: 16 to 256 KB a message move 230 MB/s through kafkajs, single rows of 200 bytes 30 MB/s. */
const FULL_BYTES = 256 * 1024;
const NEWLINE = Buffer.from('\n');

interface Open {
  parts: Buffer[];
  rows: number;
  bytes: number;
  highest: string;
}

/** Many rows a message, newline-separated, without a key; the rows of one key still share a partition. */
export class PackedEnvelope implements Envelope {
  readonly #partitions: number;
  readonly #open = new Map<number, Open>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  add(change: Change, give: (message: Sealed) => void): void {
    if (change.kind === 'truncate') {
      this.end(give);
      return give(sealMark(change));
    }
    const partition = partitionOf(change.key, this.#partitions);
    const open = this.#open.get(partition);
    if (open === undefined) {
      const { value, seq } = change;
      this.#open.set(partition, { parts: [value], rows: 1, bytes: value.length, highest: seq });
      return;
    }
    if (open.bytes + 1 + change.value.length > FULL_BYTES) {
      give(seal(partition, open));
      this.#open.delete(partition);
      return this.add(change, give);
    }
    open.parts.push(NEWLINE, change.value);
    open.rows += 1;
    open.bytes += 1 + change.value.length;
    open.highest = higher(open.highest, change.seq);
  }

  end(give: (message: Sealed) => void): void {
    for (const [partition, open] of this.#open) give(seal(partition, open));
    this.#open.clear();
  }
}

function seal(partition: number, { parts, rows, bytes, highest }: Open): Sealed {
  return { partition, key: null, value: Buffer.concat(parts, bytes), rows, highest, kind: 'rows' };
}

/** Of two decimal numbers without leading zeros: a longer one is higher. */
function higher(a: string, b: string): string {
  if (a.length !== b.length) return a.length > b.length ? a : b;
  return a > b ? a : b;
}
