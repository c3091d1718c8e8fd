import type { Span } from '../domain/change.js';

const SLASH = 0x2f;
const ZERO = 0x30;
/** Five numbers of up to 20 digits, and `/truncate`. */
const MOST_BYTES = 120;
const TRUNCATE = Buffer.from('/truncate');

/** Writes what `printHeader` prints, for the messages of one batch, without a string. */
export class HeaderWriter {
  readonly #bytes = Buffer.alloc(MOST_BYTES);
  /** Behind `generation/batch/`. */
  readonly #start: number;

  constructor({ generation, batch }: { readonly generation: number; readonly batch: number }) {
    this.#start = this.#bytes.write(`${generation}/${batch}/`, 'latin1');
  }

  /** @returns a view that the next call writes over */
  write(row: number, rows: number, highest: Span, kind: 'rows' | 'truncate'): Span {
    const bytes = this.#bytes;
    let at = putDecimal(bytes, this.#start, row);
    bytes[at++] = SLASH;
    at = putDecimal(bytes, at, rows);
    bytes[at++] = SLASH;
    for (let i = highest.start; i < highest.end; i++) bytes[at++] = highest.bytes[i] ?? 0;
    if (kind === 'truncate') at += TRUNCATE.copy(bytes, at);
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
