import type { Span } from '../domain/change.js';
import { copyInto } from '../kafka/protocol/bytes.js';

/** Name of the header of our messages. One header carries all, because each costs producer and consumer a few us. */
export const MESSAGE_HEADER = 'pg2click';
/** Name of the header that names the columns of rows in COPY text: a JSON array. Only messages of such rows have it. */
export const COLUMNS_HEADER = 'pg2click-columns';

/** The first field of the form that is written. Messages of the form before it have five fields and no version. */
const VERSION = 2;
const SLASH = 0x2f;
const ZERO = 0x30;
/** What stands behind the numbers where a message is not one of whole rows. A reader that does not know it takes the message for foreign. */
const ENDINGS = {
  rows: '',
  key: '/key',
  truncate: '/truncate',
  envelope: '/envelope',
  tombstone: '/tombstone',
} as const;
const ENDING_BYTES = {
  rows: Buffer.alloc(0),
  key: Buffer.from(ENDINGS.key),
  truncate: Buffer.from(ENDINGS.truncate),
  envelope: Buffer.from(ENDINGS.envelope),
  tombstone: Buffer.from(ENDINGS.tombstone),
};
const WORDS = ['key', 'envelope', 'tombstone', 'truncate'] as const;
const ORIGIN_DIGITS = 8;
const ORIGIN_AT = 2;
/** Fifteen digits are below 2^53; longer numbers go through BigInt. */
const EXACT_DIGITS = 15;
/** Version, origin, six numbers of up to 20 digits, and `/tombstone`. */
const MOST_BYTES = 160;
const FIELDS_BEFORE_HIGHEST = { current: 5, old: 4 };

/**
 * `rows`: row values. `key`: the key of a row and its version, `{"id":1,"_version":"..."}`; the row itself is in PostgreSQL.
 * `truncate`: a TRUNCATE marker whose value has `"_version": "..."`. `envelope`: a row in Debezium's envelope. `tombstone`: no value,
 * behind the envelope of a deletion, which it repeats for others.
 */
export type MessageKind = keyof typeof ENDINGS;

/** What a message says about itself, beside its rows. */
export interface MessageHeader {
  /** The deployment that wrote it, 8 hexadecimal digits; undefined for a message of the old form. */
  readonly origin: string | undefined;
  readonly generation: number;
  /** The number of the form that the table had, from 1; 1 for a message of the old form. */
  readonly shape: number;
  /** Publish batch number. */
  readonly batch: number;
  /** Number of the first row of this message within its batch, from 0. */
  readonly row: number;
  /** Rows in this message: 1, or more when packed. */
  readonly rows: number;
  /** Highest `seq` (major part of the version) in this message, decimal. */
  readonly highest: string;
  readonly kind: MessageKind;
}

/**
 * `2/<origin>/<generation>/<shape>/<batch>/<row>/<rows>/<highest>`, with a word behind it where it is no rows as they are.
 * Without an origin it is the old form, `<generation>/<batch>/<row>/<rows>/<highest>`, which is read and not written any more.
 */
export function printHeader(header: MessageHeader): string {
  const { origin, generation, shape, batch, row, rows, highest, kind } = header;
  const head = origin === undefined ? `${generation}` : `${VERSION}/${origin}/${generation}/${shape}`;
  return `${head}/${batch}/${row}/${rows}/${highest}${ENDINGS[kind]}`;
}

/** @returns undefined for a text that is not ours: the caller decides what a foreign message means */
export function parseHeader(text: string): MessageHeader | undefined {
  const match =
    /^(?:2\/([0-9a-f]{8})\/(\d+)\/(\d+)|(\d+))\/(\d+)\/(\d+)\/(\d+)\/(\d+)(?:\/(key|truncate|envelope|tombstone))?$/u.exec(
      text,
    );
  if (match === null) return undefined;
  const [, origin, generation, shape, oldGeneration, batch, row, rows, highest, kind] = match;
  return {
    origin,
    generation: Number(generation ?? oldGeneration),
    shape: Number(shape ?? 1),
    batch: Number(batch),
    row: Number(row),
    rows: Number(rows),
    highest: highest ?? '0',
    kind: WORDS.find((word) => word === kind) ?? 'rows',
  };
}

/**
 * Reads from the bytes of a header what loading needs of it. Every message of a topic passes here: it takes 0.1 us and makes no
 * object, where `parseHeader` takes 0.5 us.
 */
export class HeaderReader {
  /** As a number, see `originNumber`; undefined for a message of the old form. */
  origin: number | undefined = undefined;
  generation = 0;
  shape = 1;
  rows = 0;
  /** A number where that is exact, else a bigint: they compare with each other. */
  highest: number | bigint = 0;
  kind: MessageKind = 'rows';

  /** @returns whether the bytes are a header of ours; the fields are those of the last one that was */
  read(bytes: Buffer, start: number, end: number): boolean {
    const origin = originAt(bytes, start, end);
    if (
      origin >= 0 &&
      this.#readFields(bytes, start + ORIGIN_AT + ORIGIN_DIGITS + 1, end, FIELDS_BEFORE_HIGHEST.current)
    ) {
      this.origin = origin;
      return true;
    }
    // An old header may begin as a current one does: generation 2, and a batch number of eight digits.
    if (!this.#readFields(bytes, start, end, FIELDS_BEFORE_HIGHEST.old)) return false;
    this.origin = undefined;
    return true;
  }

  /** @param count numbers before `highest` */
  #readFields(bytes: Buffer, start: number, end: number, count: number): boolean {
    let generation = 0;
    let shape = 1;
    let rows = 0;
    let field = 0;
    let from = start;
    let value = 0;
    for (let i = start; i <= end; i++) {
      const byte = i < end ? (bytes[i] ?? SLASH) : SLASH;
      const digit = byte - ZERO;
      if (digit >= 0 && digit <= 9) {
        value = value * 10 + digit;
        continue;
      }
      if (i === from || byte !== SLASH) return false;
      if (field === count) {
        const kind = i === end ? 'rows' : endingOf(bytes, i, end);
        if (kind === undefined) return false;
        this.highest = i - from <= EXACT_DIGITS ? value : BigInt(bytes.toString('latin1', from, i));
        this.generation = generation;
        this.shape = shape;
        this.rows = rows;
        this.kind = kind;
        return true;
      }
      if (field === 0) generation = value;
      else if (field === count - 1) rows = value;
      else if (field === 1 && count === FIELDS_BEFORE_HIGHEST.current) shape = value;
      field += 1;
      value = 0;
      from = i + 1;
    }
    return false;
  }
}

/** @returns undefined for an ending of a later release, or of somebody else */
function endingOf(bytes: Buffer, start: number, end: number): MessageKind | undefined {
  for (const kind of WORDS) if (bytes.compare(ENDING_BYTES[kind], 0, undefined, start, end) === 0) return kind;
  return undefined;
}

/** @returns -1 for bytes that do not begin as the current form does */
function originAt(bytes: Buffer, start: number, end: number): number {
  const after = start + ORIGIN_AT + ORIGIN_DIGITS;
  if (after >= end || bytes[start] !== ZERO + VERSION || bytes[start + 1] !== SLASH || bytes[after] !== SLASH)
    return -1;
  let origin = 0;
  for (let i = start + ORIGIN_AT; i < after; i++) {
    const byte = bytes[i] ?? 0;
    const digit = byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : byte >= ZERO && byte <= ZERO + 9 ? byte - ZERO : -1;
    if (digit < 0) return -1;
    origin = origin * 16 + digit;
  }
  return origin;
}

/** An origin as the number that `HeaderReader` compares. @throws TypeError unless it is 8 hexadecimal digits in lower case */
export function originNumber(origin: string): number {
  if (!/^[0-9a-f]{8}$/u.test(origin)) throw new TypeError(`an origin has 8 hexadecimal digits, and ${origin} has not`);
  return Number.parseInt(origin, 16);
}

export function originText(origin: number): string {
  return origin.toString(16).padStart(ORIGIN_DIGITS, '0');
}

/** What the messages of one publish batch have in common. */
export type BatchHeader = Pick<MessageHeader, 'generation' | 'shape' | 'batch'> & { readonly origin: string };

/** Writes what `printHeader` prints, for the messages of one batch, without a string. */
export class HeaderWriter {
  readonly #bytes = Buffer.alloc(MOST_BYTES);
  /** Behind the batch number and its slash. */
  readonly #start: number;

  /** @throws TypeError as `originNumber` */
  constructor({ origin, generation, shape, batch }: BatchHeader) {
    originNumber(origin);
    this.#start = this.#bytes.write(`${VERSION}/${origin}/${generation}/${shape}/${batch}/`, 'latin1');
  }

  /** @returns a view that the next call overwrites */
  write(row: number, rows: number, highest: Span, kind: MessageKind): Span {
    const bytes = this.#bytes;
    let at = putDecimal(bytes, this.#start, row);
    bytes[at++] = SLASH;
    at = putDecimal(bytes, at, rows);
    bytes[at++] = SLASH;
    at = copyInto(bytes, at, highest);
    if (kind !== 'rows') at += ENDING_BYTES[kind].copy(bytes, at);
    return { bytes, start: 0, end: at };
  }
}

/** @returns where the digits end */
function putDecimal(bytes: Uint8Array, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest > 9; rest = Math.floor(rest / 10)) end += 1;
  let rest = value;
  for (let i = end - 1; i >= at; i--) {
    bytes[i] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return end;
}
