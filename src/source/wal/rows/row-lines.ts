import { NULL, Tuple } from '../tuple.js';
import type { RowPlan } from './row-plan.js';
import { TextBuffer } from './text-buffer.js';
import type { TupleBatch } from './tuple-batch.js';
import { VersionDigits } from './version-digits.js';

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

  constructor(batch: TupleBatch) {
    this.#batch = batch;
    this.#absent = absentOf(batch.plan);
  }

  /** Without the newline at its end. */
  write(text: TextBuffer, row: number, version: VersionDigits): void {
    const { plan, places, text: bytes } = this.#batch;
    const tuple = this.#tuple;
    const isTombstone = this.#batch.isTombstone(row);
    this.#batch.read(row, tuple);
    for (let index = 0; index < plan.columns.length; index++) {
      const column = plan.columns[index];
      if (column === undefined) continue;
      const place = places.places[index] ?? 0;
      if (isTombstone && column.key < 0) text.append(this.#absent[index] ?? NOTHING);
      else if (tuple.kinds[place] === NULL) text.append(NOTHING);
      else {
        const start = tuple.starts[place] ?? 0;
        const end = tuple.ends[place] ?? 0;
        text.appendCopy(bytes, start, column.isPadded ? trimmed(bytes, start, end) : end);
      }
      text.put(TAB);
    }
    text.end = version.write(text.reserve(version.length + 1), text.end);
    text.put(TAB);
    text.put(isTombstone ? ZERO + 1 : ZERO);
  }
}

/** @param first position of the batch. @param onRows called with the rows so far when a chunk is full */
export async function* rowLines(
  batch: TupleBatch,
  first: bigint,
  onRows: (rows: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const text = new TextBuffer(CHUNK_BYTES);
  const writer = new LineWriter(batch);
  const version = new VersionDigits(batch.plan.generation, first, batch.plan.shape);
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

/** @returns where a text ends that has no blanks at its end */
export function trimmed(bytes: Buffer, start: number, end: number): number {
  while (end > start && bytes[end - 1] === BLANK) end--;
  return end;
}

function absentOf({ columns }: RowPlan): readonly Buffer[] {
  return columns.map(({ takesNull, absent }) => (takesNull ? NOTHING : Buffer.from(absent, 'utf8')));
}
