const BACKSLASH = 0x5c;
const QUOTE = 0x22;
const SPACE = 0x20;
const ZERO = 0x30;
const HEX = Buffer.from('0123456789abcdef', 'latin1');

/** The letters of `\b`, `\t`, `\n`, `\v`, `\f`, `\r` by their byte, as COPY escapes them; 0 for none. */
const COPY_LETTERS = letters({ 8: 'b', 9: 't', 10: 'n', 11: 'v', 12: 'f', 13: 'r', [BACKSLASH]: '\\' });
/** The same for JSON, as `to_json` escapes: what is not here and below a blank is `\u00XX`. */
const JSON_LETTERS = letters({ 8: 'b', 9: 't', 10: 'n', 12: 'f', 13: 'r', [BACKSLASH]: '\\', [QUOTE]: '"' });

/** Bytes that grow at their end. */
export class TextBuffer {
  #bytes: Buffer;
  end = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** What is in it: a view, which the next byte may change. */
  get text(): Buffer {
    return this.#bytes.subarray(0, this.end);
  }

  /** Gives what is in it away, and begins with an empty one of the same size. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.end);
    this.#bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.end = 0;
    return taken;
  }

  reserve(bytes: number): Buffer {
    const needed = this.end + bytes;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.end);
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  put(byte: number): void {
    this.reserve(1)[this.end++] = byte;
  }

  append(from: Buffer, start = 0, end = from.length): void {
    const to = this.reserve(end - start);
    let at = this.end;
    // Most are short: a call into the runtime costs more.
    if (end - start > 48) at += from.copy(to, at, start, end);
    else for (let read = start; read < end; read++) to[at++] = from[read] ?? 0;
    this.end = at;
  }

  /** As COPY text has it. */
  appendCopy(from: Buffer, start: number, end: number): void {
    this.end = escapeCopy(from, start, end, this.reserve(2 * (end - start)), this.end);
  }

  /** As a string of JSON has it between its quotes. */
  appendJson(from: Buffer, start: number, end: number): void {
    const to = this.reserve(6 * (end - start));
    let at = this.end;
    for (let read = start; read < end; read++) {
      const byte = from[read] ?? 0;
      if (byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH) {
        to[at++] = byte;
        continue;
      }
      to[at++] = BACKSLASH;
      const letter = JSON_LETTERS[byte] ?? 0;
      if (letter !== 0) {
        to[at++] = letter;
        continue;
      }
      to[at++] = 0x75;
      to[at++] = ZERO;
      to[at++] = ZERO;
      to[at++] = HEX[byte >> 4] ?? ZERO;
      to[at++] = HEX[byte & 15] ?? ZERO;
    }
    this.end = at;
  }
}

/** Writes a value as COPY text has it; a byte takes two at most. @returns where it ends */
export function escapeCopy(from: Buffer, start: number, end: number, to: Buffer, at: number): number {
  for (let read = start; read < end; read++) {
    const byte = from[read] ?? 0;
    const letter = byte <= BACKSLASH ? (COPY_LETTERS[byte] ?? 0) : 0;
    if (letter === 0) to[at++] = byte;
    else {
      to[at++] = BACKSLASH;
      to[at++] = letter;
    }
  }
  return at;
}

function letters(of: Readonly<Record<number, string>>): Uint8Array {
  const table = new Uint8Array(BACKSLASH + 1);
  for (const [byte, letter] of Object.entries(of)) table[Number(byte)] = letter.charCodeAt(0);
  return table;
}
