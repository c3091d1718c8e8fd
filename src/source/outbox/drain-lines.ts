import { Changes } from '../../domain/change.js';
import type { RowContent } from '../../pipeline/row-batch.js';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const BRACE = 0x7b;

/**
 * Cuts the drain's COPY text into changes: by bytes, nothing is decoded but the count of events. The changes are views of
 * what was fed. With rows as `text` the value of a change is the end of its line, byte for byte; else it is the JSON
 * that COPY has escaped.
 */
export class DrainLines {
  /** The line that is not complete yet, as it came. */
  readonly #rest: Buffer[] = [];
  #restBytes = 0;
  #events = 0;
  /** The next one of the text: most lines hold none, and need not be looked through. */
  #backslash = 0;
  #unknown = 0;
  readonly #lastSeq = Buffer.alloc(24);
  #lastSeqLength = 0;
  readonly #rows: RowContent['rows'];

  constructor(rows: RowContent['rows'] = 'json') {
    this.#rows = rows;
  }

  /** Outbox rows that the lines so far stand for. */
  get events(): number {
    return this.#events;
  }

  /** Outbox rows of them that say that something changed, and not what. */
  get unknown(): number {
    return this.#unknown;
  }

  /** Bytes of the line that the text so far ends in the middle of. */
  get cutBytes(): number {
    return this.#restBytes;
  }

  /** @returns the changes of all lines that are complete with this chunk. Writes into the chunk: it is ours from now on. */
  feed(chunk: Buffer): Changes {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      this.#keep(chunk);
      return new Changes(chunk);
    }
    const whole = end === chunk.length ? chunk : chunk.subarray(0, end);
    // Once a line, however many chunks it came in: a row may be as large as a message.
    const text = this.#restBytes === 0 ? whole : Buffer.concat([...this.#rest, whole], this.#restBytes + end);
    this.#rest.length = 0;
    this.#restBytes = 0;
    if (end < chunk.length) this.#keep(chunk.subarray(end));
    const changes = new Changes(text);
    this.#backslash = nextBackslash(text, 0);
    for (let start = 0; start < text.length;) start = this.#readLine(changes, text, start);
    return changes;
  }

  #keep(part: Buffer): void {
    this.#rest.push(part);
    this.#restBytes += part.length;
  }

  /** @returns where the next line starts */
  #readLine(changes: Changes, text: Buffer, start: number): number {
    const seqEnd = nextTab(text, start);
    const eventsEnd = nextTab(text, seqEnd + 1);
    const headStart = eventsEnd + 1;
    let headEnd = nextTab(text, headStart);
    const valueStart = headEnd + 1;
    const end = text.indexOf(NEWLINE, headEnd);
    let valueEnd = end;
    if (this.#backslash < end) {
      headEnd = unescape(text, headStart, headEnd);
      if (this.#rows !== 'text') valueEnd = unescape(text, valueStart, valueEnd);
      this.#backslash = nextBackslash(text, end);
    }
    const seqLength = seqEnd - start;
    // Two rows of one key: its index is not unique any more. The first one stands for both, as the events are counted once.
    if (this.#isLastSeq(text, start, seqLength)) return end + 1;
    text.copy(this.#lastSeq, 0, start, seqEnd);
    this.#lastSeqLength = seqLength;
    const events = readNumber(text, seqEnd + 1, eventsEnd);
    this.#events += events;
    if (headStart === headEnd) this.#unknown += events;
    else if (this.#isMark(text, headStart, valueStart, end))
      changes.push(start, seqEnd, headStart, headStart, headStart, headEnd);
    else changes.push(start, seqEnd, headStart, headEnd, valueStart, valueEnd);
    return end + 1;
  }

  /** Where keys are objects too, a mark is what has no row. */
  #isMark(text: Buffer, headStart: number, valueStart: number, end: number): boolean {
    return text[headStart] === BRACE && (this.#rows !== 'envelope' || valueStart === end);
  }

  #isLastSeq(text: Buffer, start: number, length: number): boolean {
    if (length !== this.#lastSeqLength) return false;
    for (let at = length - 1; at >= 0; at--) if (text[start + at] !== this.#lastSeq[at]) return false;
    return true;
  }
}

function readNumber(text: Buffer, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) number = number * 10 + (text[at] ?? ZERO) - ZERO;
  return number;
}

/** Of short fields: a call into the runtime costs more than looking at them here. */
function nextTab(text: Buffer, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== TAB) at++;
  return at;
}

function nextBackslash(text: Buffer, from: number): number {
  const at = text.indexOf(BACKSLASH, from);
  return at < 0 ? text.length : at;
}

/**
 * COPY doubles a backslash, and in JSON there is nothing else that it would escape. In place: the text only gets shorter.
 * @returns its new end
 */
function unescape(text: Buffer, start: number, end: number): number {
  let write = nextBackslash(text, start);
  if (write >= end) return end;
  for (let read = write; read < end; read++) {
    const byte = text[read] ?? 0;
    if (byte === BACKSLASH && text[++read] !== BACKSLASH)
      throw new Error('COPY escaped something that JSON does not hold');
    text[write++] = byte;
  }
  return write;
}
