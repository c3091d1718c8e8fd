import type { Span } from '../domain/change.js';
import type { AvroColumn } from './avro-type.js';
import { AvroOutput } from './output.js';
import { MOST_MORE_BYTES, writeValueOf, type WriteValue } from './write-value.js';

/** The first byte of a message in the wire format of Confluent; the id of the schema follows, four bytes. */
export const MAGIC = 0;
export const PREFIX_BYTES = 5;

const TAB = 0x09;
const BACKSLASH = 0x5c;
const NULL_LETTER = 0x4e;
const ONE = 0x31;
/** Of the union `["null", T]`. */
const NULL_BRANCH = 0;
const VALUE_BRANCH = 2;
/** Prefix, version, mark of a tombstone, an empty list. */
const MOST_HEAD_BYTES = 64;

interface Field {
  readonly name: string;
  readonly isKey: boolean;
  readonly write: WriteValue;
}

const NONE: readonly string[] = [];

/** Makes records of one schema from lines of COPY text whose columns are those of the shape, `_version` and `_deleted`. */
export class RecordWriter {
  readonly #schemaId: number;
  readonly #fields: readonly Field[];
  readonly #out = new AvroOutput();

  constructor(schemaId: number, columns: readonly AvroColumn[]) {
    this.#schemaId = schemaId;
    this.#fields = columns.map(({ name, isKey, type }) => ({ name, isKey, write: writeValueOf(type) }));
  }

  /** @returns a view that the next call overwrites */
  row(line: Span): Span {
    const refused = this.#write(line, NONE);
    // Its list stands in front of the columns, and is empty as a rule.
    if (refused.length > 0) this.#write(line, refused);
    return this.#out.span();
  }

  /** A TRUNCATE mark: no column has a value. @returns as `row` */
  truncate(version: string): Span {
    const out = this.#out;
    out.at = 0;
    out.make(MOST_HEAD_BYTES + this.#fields.length);
    this.#prefix();
    out.text(version);
    out.byte(1);
    out.long(0);
    for (const _ of this.#fields) out.byte(NULL_BRANCH);
    return out.span();
  }

  #prefix(): void {
    this.#out.byte(MAGIC);
    this.#out.uint32(this.#schemaId);
  }

  /** @returns the columns whose value is none of their type */
  #write({ bytes, start, end }: Span, refused: readonly string[]): readonly string[] {
    const out = this.#out;
    out.at = 0;
    out.make(end - start + this.#fields.length * MOST_MORE_BYTES + MOST_HEAD_BYTES);
    this.#prefix();
    const isDeleted = bytes[end - 1] === ONE;
    const versionEnd = end - 2;
    let versionStart = versionEnd;
    while (versionStart > start && bytes[versionStart - 1] !== TAB) versionStart -= 1;
    out.long(versionEnd - versionStart);
    out.copy(bytes, versionStart, versionEnd);
    out.byte(isDeleted ? 1 : 0);
    if (refused.length > 0) {
      out.long(refused.length);
      for (const name of refused) out.text(name);
      out.make(end - start + this.#fields.length * MOST_MORE_BYTES + MOST_HEAD_BYTES);
    }
    out.long(0);
    return this.#writeColumns({ bytes, start, end: versionStart }, isDeleted);
  }

  #writeColumns({ bytes, start, end }: Span, isDeleted: boolean): readonly string[] {
    const out = this.#out;
    let refused: string[] | undefined;
    let from = start;
    for (const { name, isKey, write } of this.#fields) {
      let to = from;
      while (to < end && bytes[to] !== TAB) to += 1;
      const isNull = to - from === 2 && bytes[from] === BACKSLASH && bytes[from + 1] === NULL_LETTER;
      const before = out.at;
      out.byte(VALUE_BRANCH);
      // A tombstone has the key alone: what else its line says is nothing.
      const isWritten = !isNull && (isKey || !isDeleted) && write(out, bytes, from, to);
      if (!isWritten) {
        out.at = before;
        out.byte(NULL_BRANCH);
        if (!isNull && (isKey || !isDeleted)) (refused ??= []).push(name);
      }
      from = to + 1;
    }
    return refused ?? NONE;
  }
}
