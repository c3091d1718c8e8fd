import { NULL, Tuple } from '../tuple.js';
import type { RowPlan } from './row-plan.js';
import { escapeCopy, TextBuffer } from '../text-buffer.js';
import type { TupleBatch } from './tuple-batch.js';
import { composeVersion } from '../../../domain/version.js';
import { DecimalCounter } from './decimal-counter.js';

const CHUNK_BYTES = 128 * 1024;
const TAB = 0x09;
const NEWLINE = 0x0a;
const ZERO = 0x30;
const BLANK = 0x20;
/** `\N`, which COPY prints for NULL. */
const NOTHING = Buffer.from(String.raw`\N`, 'latin1');

/** Writes rows of a batch as lines of COPY text, byte for byte those of the drain: see `rowTextSql`. */
export class LineWriter {
  readonly #batch: TupleBatch;
  readonly #absent: readonly Buffer[];
  readonly #tuple = new Tuple();
  /** The most that a row has beside its values. */
  readonly #constantBytes: number;

  constructor(batch: TupleBatch) {
    this.#batch = batch;
    this.#absent = absentOf(batch.plan);
    this.#constantBytes = this.#absent.reduce((sum, { length }) => sum + Math.max(length, NOTHING.length) + 1, 2);
  }

  /** Without the newline at its end. */
  write(text: TextBuffer, row: number, version: DecimalCounter): void {
    const { plan, places, text: bytes } = this.#batch;
    const { columns } = plan;
    const tuple = this.#tuple;
    const isTombstone = this.#batch.isTombstone(row);
    this.#batch.read(row, tuple);
    // Once for all of the row: each of its bytes takes two at most.
    const to = text.reserve(2 * (tuple.to - tuple.from) + this.#constantBytes + version.length);
    let at = text.end;
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index];
      const place = places.places[index] ?? 0;
      if (column === undefined) continue;
      if (isTombstone && column.key < 0) at = put(this.#absent[index] ?? NOTHING, to, at);
      else if (tuple.kinds[place] === NULL) at = put(NOTHING, to, at);
      else {
        const start = tuple.starts[place] ?? 0;
        const end = tuple.ends[place] ?? 0;
        if (column.json === 'escaped')
          at = escapeCopy(bytes, start, column.isPadded ? trimmed(bytes, start, end) : end, to, at);
        else for (let from = start; from < end; from++) to[at++] = bytes[from] ?? 0;
      }
      to[at++] = TAB;
    }
    at = version.write(to, at);
    to[at++] = TAB;
    to[at++] = isTombstone ? ZERO + 1 : ZERO;
    text.end = at;
  }
}

function put(constant: Buffer, to: Buffer, at: number): number {
  for (let from = 0; from < constant.length; from++) to[at++] = constant[from] ?? 0;
  return at;
}

/** @param first position of the batch. @param onRows called with the rows so far when a chunk is full */
export async function* rowLines(
  batch: TupleBatch,
  first: bigint,
  onRows: (rows: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const text = new TextBuffer(CHUNK_BYTES);
  const writer = new LineWriter(batch);
  const version = versionsFrom(batch, first);
  for (let row = 0; row < batch.rows; row++) {
    writer.write(text, row, version);
    text.put(NEWLINE);
    version.next();
    if (text.end < CHUNK_BYTES - 1_024) continue;
    onRows(row + 1);
    yield text.take();
  }
  onRows(batch.rows);
  if (text.end > 0) yield text.take();
}

/** The versions of rows at consecutive positions: `major` counts in steps of 2^64. */
export function versionsFrom({ plan: { generation, shape } }: TupleBatch, first: bigint): DecimalCounter {
  return new DecimalCounter(composeVersion(generation, first, BigInt(shape)), 1n << 64n);
}

/** @returns where a text ends that has no blanks at its end */
export function trimmed(bytes: Buffer, start: number, end: number): number {
  while (end > start && bytes[end - 1] === BLANK) end--;
  return end;
}

function absentOf({ columns }: RowPlan): readonly Buffer[] {
  return columns.map(({ takesNull, absent }) => (takesNull ? NOTHING : Buffer.from(absent, 'utf8')));
}
