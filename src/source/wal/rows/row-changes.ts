import { DELETED_COLUMN, VERSION_COLUMN } from '../../../domain/column-type.js';
import { Changes } from '../../../domain/change.js';
import type { RowContent } from '../../../pipeline/row-batch.js';
import { NULL, Tuple } from '../tuple.js';
import { LineWriter, trimmed, versionsFrom } from './row-lines.js';
import type { PlannedColumn } from './row-plan.js';
import { TextBuffer } from '../text-buffer.js';
import type { TupleBatch } from './tuple-batch.js';
import { DecimalCounter } from './decimal-counter.js';

const CHUNK_BYTES = 64 * 1024;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const ZERO = 0x30;
const LETTER_T = 0x74;
const NULL_JSON = Buffer.from('null', 'latin1');
const TRUE = Buffer.from('true', 'latin1');
const FALSE = Buffer.from('false', 'latin1');
const DASH = 0x2d;
const NINE = 0x39;

/** What the drain makes of a row for a topic, from the stream. `keys` are not made of it. */
export interface ChangesContent extends RowContent {
  readonly rows: 'json' | 'text';
}

/** @param first position of the batch */
export async function* rowChanges(
  batch: TupleBatch,
  first: bigint,
  { rows, key }: ChangesContent,
): AsyncGenerator<Changes, void, undefined> {
  const text = new TextBuffer(CHUNK_BYTES);
  const [lines, json] = [new LineWriter(batch), new JsonWriter(batch)];
  const [position, version] = [new DecimalCounter(first, 1n), versionsFrom(batch, first)];
  let bounds: number[] = [];
  const take = (): Changes => {
    const changes = new Changes(text.take());
    for (let at = 0; at < bounds.length; at += 4) {
      const head = bounds[at + 1] ?? 0;
      const value = bounds[at + 2] ?? 0;
      changes.push(bounds[at] ?? 0, head, head, value, value, bounds[at + 3] ?? 0);
    }
    bounds = [];
    return changes;
  };
  for (let row = 0; row < batch.rows; row++) {
    const seqStart = text.end;
    text.end = position.write(text.reserve(position.length), text.end);
    const keyStart = text.end;
    if (key || rows === 'json') json.begin(row);
    if (key) json.writeKey(text);
    else text.put(DASH);
    const valueStart = text.end;
    if (rows === 'text') lines.write(text, row, version);
    else json.writeRow(text, version);
    bounds.push(seqStart, keyStart, valueStart, text.end);
    position.next();
    version.next();
    if (text.end >= CHUNK_BYTES - 1_024) yield take();
  }
  if (bounds.length > 0) yield take();
}

/** One row as the JSON of the drain: see `rowJson` and `tombstoneJson`. */
class JsonWriter {
  readonly #batch: TupleBatch;
  readonly #names: readonly Buffer[];
  readonly #version = Buffer.from(`,"${VERSION_COLUMN}":"`, 'latin1');
  readonly #upsert = Buffer.from(`","${DELETED_COLUMN}":0}`, 'latin1');
  readonly #tombstone = Buffer.from(`","${DELETED_COLUMN}":1}`, 'latin1');
  /** Columns of the plan that are the key, in key order. */
  readonly #keys: readonly number[];
  readonly #tuple = new Tuple();
  #isTombstone = false;

  constructor(batch: TupleBatch) {
    this.#batch = batch;
    const { columns } = batch.plan;
    this.#names = columns.map(({ name }) => Buffer.from(`${JSON.stringify(name)}:`, 'utf8'));
    this.#keys = columns
      .map(({ key }, index) => ({ key, index }))
      .filter(({ key }) => key >= 0)
      .toSorted((a, b) => a.key - b.key)
      .map(({ index }) => index);
  }

  begin(row: number): void {
    this.#isTombstone = this.#batch.isTombstone(row);
    this.#batch.read(row, this.#tuple);
  }

  writeKey(text: TextBuffer): void {
    text.put(BRACKET);
    this.#keys.forEach((column, index) => {
      if (index > 0) text.put(COMMA);
      this.#writeValue(text, column);
    });
    text.put(BRACKET_END);
  }

  writeRow(text: TextBuffer, version: DecimalCounter): void {
    text.put(0x7b);
    if (this.#isTombstone) {
      for (let index = 0; index < this.#keys.length; index++) this.#writeNamed(text, this.#keys[index] ?? 0, index > 0);
    } else for (let column = 0; column < this.#names.length; column++) this.#writeNamed(text, column, column > 0);
    text.append(this.#version);
    text.end = version.write(text.reserve(version.length + 1), text.end);
    text.append(this.#isTombstone ? this.#tombstone : this.#upsert);
  }

  #writeNamed(text: TextBuffer, column: number, isNext: boolean): void {
    if (isNext) text.put(COMMA);
    text.append(this.#names[column] ?? NULL_JSON);
    this.#writeValue(text, column);
  }

  #writeValue(text: TextBuffer, index: number): void {
    const { plan, places, text: bytes } = this.#batch;
    const column = plan.columns[index];
    const place = places.places[index] ?? 0;
    if (column === undefined || this.#tuple.kinds[place] === NULL) text.append(NULL_JSON);
    else writeJson(text, column, bytes, this.#tuple.starts[place] ?? 0, this.#tuple.ends[place] ?? 0);
  }
}

function writeJson(
  text: TextBuffer,
  { json, isPadded }: PlannedColumn,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  if (json === 'boolean') text.append(bytes[start] === LETTER_T ? TRUE : FALSE);
  else if (json === 'bare' || (json === 'float' && isNumber(bytes, start))) text.append(bytes, start, end);
  else {
    text.put(QUOTE);
    if (json === 'escaped') text.appendJson(bytes, start, isPadded ? trimmed(bytes, start, end) : end);
    else text.append(bytes, start, end);
    text.put(QUOTE);
  }
}

/** Not NaN, Infinity or -Infinity. */
function isNumber(bytes: Buffer, start: number): boolean {
  const first = bytes[start] ?? 0;
  return first === DASH ? (bytes[start + 1] ?? 0) <= NINE : first <= NINE && first >= ZERO;
}
