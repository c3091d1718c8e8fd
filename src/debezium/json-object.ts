const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/** The text is no JSON, or no object. */
export class NotAnObject extends Error {}

/**
 * The fields of one JSON object, as places in its bytes: no value becomes a JavaScript value, so no number loses digits, and nothing is
 * made for a row. It is filled again for each object.
 */
export class JsonObject {
  bytes: Buffer = Buffer.alloc(0);
  /** Fields of the object. */
  count = 0;
  /** Behind the closing brace. */
  end = 0;
  /** Of each field: start and end of the name without its quotes, start and end of the value. */
  readonly #places: number[] = [];

  /** @throws NotAnObject */
  read(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
    this.count = 0;
    let at = skipBlanks(bytes, start, end);
    if (bytes[at] !== OPEN_OBJECT) throw new NotAnObject();
    at = skipBlanks(bytes, at + 1, end);
    if (bytes[at] !== CLOSE_OBJECT)
      for (;;) {
        if (bytes[at] !== QUOTE) throw new NotAnObject();
        const nameStart = at + 1;
        at = skipString(bytes, at, end);
        const nameEnd = at - 1;
        at = skipBlanks(bytes, at, end);
        if (bytes[at] !== COLON) throw new NotAnObject();
        const valueStart = skipBlanks(bytes, at + 1, end);
        const valueEnd = skipValue(bytes, valueStart, end);
        const to = this.count * 4;
        this.#places[to] = nameStart;
        this.#places[to + 1] = nameEnd;
        this.#places[to + 2] = valueStart;
        this.#places[to + 3] = valueEnd;
        this.count += 1;
        at = skipBlanks(bytes, valueEnd, end);
        if (bytes[at] === CLOSE_OBJECT) break;
        if (bytes[at] !== COMMA) throw new NotAnObject();
        at = skipBlanks(bytes, at + 1, end);
      }
    this.end = at + 1;
  }

  /** @returns the number of the field, -1 for none. @param near where it is looked for first */
  find(name: Buffer, near = 0): number {
    if (this.isNamed(near, name)) return near;
    for (let field = 0; field < this.count; field++) if (this.isNamed(field, name)) return field;
    return -1;
  }

  isNamed(field: number, name: Buffer): boolean {
    if (field >= this.count) return false;
    const start = this.#places[field * 4] ?? 0;
    const end = this.#places[field * 4 + 1] ?? 0;
    return end - start === name.length && name.compare(this.bytes, start, end) === 0;
  }

  /** As it is written, without its quotes. */
  nameOf(field: number): string {
    return JSON.parse(
      `"${this.bytes.toString('utf8', this.#places[field * 4], this.#places[field * 4 + 1])}"`,
    ) as string;
  }

  startOf(field: number): number {
    return this.#places[field * 4 + 2] ?? 0;
  }

  endOf(field: number): number {
    return this.#places[field * 4 + 3] ?? 0;
  }

  /** The text of a value as it is written. */
  textOf(field: number): string {
    return this.bytes.toString('utf8', this.startOf(field), this.endOf(field));
  }

  isObject(field: number): boolean {
    return field >= 0 && this.bytes[this.startOf(field)] === OPEN_OBJECT;
  }

  isNull(field: number): boolean {
    return this.bytes[this.startOf(field)] === 0x6e;
  }
}

function skipBlanks(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(bytes[at])) at += 1;
  return at;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** @returns behind the closing quote */
function skipString(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  for (;;) {
    at = bytes.indexOf(QUOTE, at);
    if (at < 0 || at >= end) throw new NotAnObject();
    let slashes = 0;
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes += 1;
    at += 1;
    if (slashes % 2 === 0) return at;
  }
}

/** @returns behind the value */
function skipValue(bytes: Buffer, start: number, end: number): number {
  const first = bytes[start];
  if (first === QUOTE) return skipString(bytes, start, end);
  let at = start;
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
    while (at < end && !isEnd(bytes[at])) at += 1;
    if (at === start) throw new NotAnObject();
    return at;
  }
  let depth = 0;
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at, end);
      continue;
    }
    at += 1;
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth += 1;
    else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && --depth === 0) return at;
  }
  throw new NotAnObject();
}

function isEnd(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY || isBlank(byte);
}
