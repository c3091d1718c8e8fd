import { Changes } from '../../domain/change.js';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/**
 * Cuts the drain's COPY text into changes: by bytes, nothing is decoded but the count of events. The changes are views of
 * what was fed.
 */
export class DrainLines {
  /** The line that is not complete yet, as it came. */
  readonly #rest: Buffer[] = [];
  #restBytes = 0;
  #events = 0;
  /** The next one of the text: most lines hold none, and need not be looked through. */
  #backslash = 0;

  /** Outbox rows that the lines so far stand for. */
  get events(): number {
    return this.#events;
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
    let events = 0;
    for (let at = seqEnd + 1; at < eventsEnd; at++) events = events * 10 + (text[at] ?? ZERO) - ZERO;
    this.#events += events;
    const keyStart = eventsEnd + 1;
    let keyEnd = nextTab(text, keyStart);
    const end = text.indexOf(NEWLINE, keyEnd);
    // Either the row and a TAB, or a TAB and what stands for the row.
    const isGone = text[keyEnd + 1] === TAB;
    const valueStart = isGone ? keyEnd + 2 : keyEnd + 1;
    let valueEnd = isGone ? end : end - 1;
    if (this.#backslash < end) {
      keyEnd = unescape(text, keyStart, keyEnd);
      valueEnd = unescape(text, valueStart, valueEnd);
      this.#backslash = nextBackslash(text, end);
    }
    changes.push(start, seqEnd, keyStart, keyEnd, valueStart, valueEnd);
    return end + 1;
  }
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
