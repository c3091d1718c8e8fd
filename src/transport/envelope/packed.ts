import type { Change, Span } from '../../domain/change.js';
import { grow } from '../grow.js';
import { Highest } from '../highest.js';
import { partitionOf } from '../partition.js';
import { sealMark, type Envelope, type Give } from './envelope.js';

/** Nothing is left of what a message costs by itself, in Kafka and in its consumers, and three fit into one send. */
const FULL_BYTES = 256 * 1024;
const FIRST_BYTES = 16 * 1024;
const NEWLINE = 0x0a;

/** Many rows a message, newline-separated, without a key; the rows of one key still share a partition. */
export class PackedEnvelope implements Envelope {
  readonly #partitions: number;
  readonly #blocks = new Map<number, Block>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  add(change: Change, give: Give): void {
    if (change.kind === 'truncate') {
      this.end(give);
      return give(sealMark(change));
    }
    const partition = partitionOf(change.key, this.#partitions);
    let block = this.#blocks.get(partition);
    if (block === undefined) this.#blocks.set(partition, (block = new Block(partition)));
    const { value, seq } = change;
    if (!block.fits(value)) block.end(give);
    // What fills a block is not copied into one.
    if (value.end - value.start >= FULL_BYTES)
      give({ partition, key: null, value, rows: 1, highest: seq, kind: 'rows' });
    else block.add(value, seq);
  }

  end(give: Give): void {
    for (const block of this.#blocks.values()) block.end(give);
  }
}

/** The open message of one partition. Its bytes are used again for the next one. */
class Block {
  readonly #partition: number;
  readonly #highest = new Highest();
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;
  #rows = 0;

  constructor(partition: number) {
    this.#partition = partition;
  }

  fits(value: Span): boolean {
    return this.#end + 1 + value.end - value.start <= FULL_BYTES;
  }

  add(value: Span, seq: Span): void {
    this.#bytes = grow(this.#bytes, this.#end, 1 + value.end - value.start);
    if (this.#rows > 0) this.#bytes[this.#end++] = NEWLINE;
    this.#bytes.set(value.bytes.subarray(value.start, value.end), this.#end);
    this.#end += value.end - value.start;
    this.#rows += 1;
    this.#highest.show(seq);
  }

  end(give: Give): void {
    if (this.#rows === 0) return;
    const value = { bytes: this.#bytes, start: 0, end: this.#end };
    give({ partition: this.#partition, key: null, value, rows: this.#rows, highest: this.#highest, kind: 'rows' });
    this.#end = 0;
    this.#rows = 0;
    this.#highest.clear();
  }
}
