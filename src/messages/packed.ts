import type { Change, Span } from '../domain/change.js';
import { copyInto, grow } from '../kafka/protocol/bytes.js';
import { partitionOf } from '../kafka/protocol/partitioner.js';
import type { RecordHeader } from '../kafka/protocol/record-batch-writer.js';
import { encodeTruncate, NO_HEADERS, type Emit, type EncoderOptions, type MessageEncoder } from './encoder.js';
import { COLUMNS_HEADER } from './header.js';

/** At this size nothing is left of what a message costs by itself, in Kafka and in its consumers, and three fit into one send. */
const FULL_BYTES = 256 * 1024;
const FIRST_BYTES = 16 * 1024;
const NEWLINE = 0x0a;
/** Digits of the largest bigint. */
const MOST_DIGITS = 20;
const COLUMNS = Buffer.from(COLUMNS_HEADER);

/**
 * Many rows a message, separated by newlines, without a key; the rows of one key share a partition. The rows are lines of COPY
 * text, whose columns a header names; without columns they are JSON.
 */
export class PackedEncoder implements MessageEncoder {
  readonly #partitions: number;
  readonly #headers: readonly RecordHeader[];
  readonly #blocks = new Map<number, Block>();

  constructor({ partitions, columns }: EncoderOptions) {
    this.#partitions = partitions;
    this.#headers = columns === undefined ? NO_HEADERS : [{ name: COLUMNS, value: spanOf(JSON.stringify(columns)) }];
  }

  add(change: Change, emit: Emit): void {
    if (change.kind === 'truncate') {
      this.end(emit);
      return emit(encodeTruncate(change));
    }
    const partition = partitionOf(change.key, this.#partitions);
    let block = this.#blocks.get(partition);
    if (block === undefined) this.#blocks.set(partition, (block = new Block(partition, this.#headers)));
    const { value, seq } = change;
    if (!block.fits(value)) block.end(emit);
    // A row that fills a block by itself is not copied into one.
    if (value.end - value.start >= FULL_BYTES)
      emit({ partition, key: null, value, rows: 1, highest: seq, kind: 'rows', headers: this.#headers });
    else block.add(value, seq);
  }

  end(emit: Emit): void {
    for (const block of this.#blocks.values()) block.end(emit);
  }
}

/** The open message of one partition. Its buffer is used again for the next one. */
class Block {
  readonly #partition: number;
  readonly #headers: readonly RecordHeader[];
  readonly #highest = new MaxSeq();
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;
  #rows = 0;

  constructor(partition: number, headers: readonly RecordHeader[]) {
    this.#partition = partition;
    this.#headers = headers;
  }

  fits(value: Span): boolean {
    return this.#end + 1 + value.end - value.start <= FULL_BYTES;
  }

  add(value: Span, seq: Span): void {
    this.#bytes = grow(this.#bytes, this.#end, 1 + value.end - value.start);
    if (this.#rows > 0) this.#bytes[this.#end++] = NEWLINE;
    this.#end = copyInto(this.#bytes, this.#end, value);
    this.#rows += 1;
    this.#highest.add(seq);
  }

  end(emit: Emit): void {
    if (this.#rows === 0) return;
    emit({
      partition: this.#partition,
      key: null,
      value: { bytes: this.#bytes, start: 0, end: this.#end },
      rows: this.#rows,
      highest: this.#highest,
      kind: 'rows',
      headers: this.#headers,
    });
    this.#end = 0;
    this.#rows = 0;
    this.#highest.clear();
  }
}

/** The highest of decimal numbers, as digits: none of them becomes a number or a string. */
export class MaxSeq implements Span {
  readonly bytes = new Uint8Array(MOST_DIGITS);
  readonly start = 0;
  end = 0;

  /** @param digits without leading zeros */
  add(digits: Span): void {
    if (!isHigher(digits, this)) return;
    this.end = digits.end - digits.start;
    for (let i = 0; i < this.end; i++) this.bytes[i] = digits.bytes[digits.start + i] ?? 0;
  }

  clear(): void {
    this.end = 0;
  }
}

function isHigher(a: Span, b: Span): boolean {
  const length = a.end - a.start;
  const difference = length - (b.end - b.start);
  if (difference !== 0) return difference > 0;
  for (let i = 0; i < length; i++) {
    const step = (a.bytes[a.start + i] ?? 0) - (b.bytes[b.start + i] ?? 0);
    if (step !== 0) return step > 0;
  }
  return false;
}

function spanOf(text: string): Span {
  const bytes = Buffer.from(text);
  return { bytes, start: 0, end: bytes.length };
}
