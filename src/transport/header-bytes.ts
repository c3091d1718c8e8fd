const SLASH = 0x2f;
const ZERO = 0x30;
/** The `t` of `/truncate`. */
const LETTER_T = 0x74;
/** Fifteen digits are below 2^53; anything longer goes through BigInt. */
const EXACT_DIGITS = 15;

/** What loading needs of a message's header. */
export interface Label {
  readonly generation: number;
  readonly rows: number;
  /** A number where that is exact, else a bigint: they compare with each other. */
  readonly highest: number | bigint;
  readonly truncate: boolean;
}

/**
 * Reads the bytes of our header, from `start` to `end`, as `parseHeader` reads its text: every message of a topic passes here,
 * and this takes 0.1 us where the text and its regular expression take 0.5.
 * @returns undefined for bytes that are not ours
 */
export function readLabel(bytes: Buffer, start = 0, end = bytes.length): Label | undefined {
  let generation = 0;
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
    if (i === from || byte !== SLASH) return undefined;
    if (field === 4) {
      const highest = i - from <= EXACT_DIGITS ? value : BigInt(bytes.toString('latin1', from, i));
      const truncate = i < end;
      if (truncate && (bytes[i + 1] !== LETTER_T || bytes.toString('latin1', i, end) !== '/truncate')) return undefined;
      return { generation, rows, highest, truncate };
    }
    if (field === 0) generation = value;
    else if (field === 3) rows = value;
    field += 1;
    value = 0;
    from = i + 1;
  }
  return undefined;
}
