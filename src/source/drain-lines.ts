import type { Change } from '../domain/change.js';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/**
 * Cuts the drain's COPY text into changes: by bytes, nothing is decoded but `seq`. The values are views of the chunks that
 * were fed.
 */
export class DrainLines {
  #rest: Buffer | undefined;
  #events = 0;

  /** Outbox rows that the lines so far stand for. */
  get events(): number {
    return this.#events;
  }

  /** Whether the text so far ends in the middle of a line. */
  get cut(): boolean {
    return this.#rest !== undefined;
  }

  /** Appends the changes of all lines that are complete with this chunk. Writes into the chunk: it is ours from now on. */
  feed(chunk: Buffer, changes: Change[]): void {
    const text = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const escaped = text.includes(BACKSLASH);
    let start = 0;
    for (;;) {
      const end = text.indexOf(NEWLINE, start);
      if (end < 0) break;
      changes.push(this.#readLine(text, start, end, escaped));
      start = end + 1;
    }
    this.#rest = start < text.length ? text.subarray(start) : undefined;
  }

  #readLine(text: Buffer, start: number, end: number, escaped: boolean): Change {
    const afterSeq = text.indexOf(TAB, start);
    const afterEvents = text.indexOf(TAB, afterSeq + 1);
    const afterKey = text.indexOf(TAB, afterEvents + 1);
    const afterRow = text.indexOf(TAB, afterKey + 1);
    let events = 0;
    for (let at = afterSeq + 1; at < afterEvents; at++) events = events * 10 + (text[at] ?? ZERO) - ZERO;
    this.#events += events;
    const key = text.subarray(afterEvents + 1, afterKey);
    const value = afterRow > afterKey + 1 ? text.subarray(afterKey + 1, afterRow) : text.subarray(afterRow + 1, end);
    return {
      kind: key.length === 0 ? 'truncate' : 'row',
      key: escaped ? unescape(key) : key,
      value: escaped ? unescape(value) : value,
      seq: text.toString('latin1', start, afterSeq),
    };
  }
}

/**
 * COPY doubles a backslash, and in JSON there is nothing else that it would escape. In place: the text only gets shorter.
 */
function unescape(value: Buffer): Buffer {
  let write = value.indexOf(BACKSLASH);
  if (write < 0) return value;
  for (let read = write; read < value.length; read++) {
    const byte = value[read] ?? 0;
    if (byte === BACKSLASH && value[++read] !== BACKSLASH)
      throw new Error('COPY escaped something that JSON does not hold');
    value[write++] = byte;
  }
  return value.subarray(0, write);
}
