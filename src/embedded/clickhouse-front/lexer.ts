/** A token of ClickHouse's SQL, with its place in the text. */
export interface Token {
  /** `word`: a bare identifier or keyword. `quoted`: an identifier in double quotes or backticks. `text`: a string literal. */
  readonly kind: 'word' | 'quoted' | 'text' | 'symbol';
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Brackets that are open around it; an opening or closing bracket counts as outside itself. */
  readonly depth: number;
}

const SPACE = /\s+/y;
const COMMENT = /--[^\n]*|#(?:!| )[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y;
const WORD = /[A-Za-z_][A-Za-z0-9_$]*/y;
const NUMBER = /[0-9][A-Za-z0-9_.]*/y;
const TEXT = /'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)/y;
const QUOTED = /"(?:[^"\\]|\\[\s\S]|"")*(?:"|$)|`(?:[^`\\]|\\[\s\S]|``)*(?:`|$)/y;
const HEREDOC = /\$([A-Za-z0-9_]*)\$[\s\S]*?\$\1\$/y;

/**
 * The tokens of a query, lazily: what follows `FORMAT name` in an insert is data, and must not be read as SQL.
 * Lenient: what it does not know is a symbol, and the engine's own parser has the last word.
 */
export function* tokensOf(sql: string, from = 0): Generator<Token, void, undefined> {
  let at = from;
  let depth = 0;
  const match = (pattern: RegExp): number | undefined => {
    pattern.lastIndex = at;
    return pattern.test(sql) ? pattern.lastIndex : undefined;
  };
  while (at < sql.length) {
    const skipped = match(SPACE) ?? match(COMMENT);
    if (skipped !== undefined) {
      at = skipped;
      continue;
    }
    const start = at;
    const token = (kind: Token['kind'], end: number, level = depth): Token => {
      at = end;
      return { kind, text: sql.slice(start, end), start, end, depth: level };
    };
    const word = match(WORD);
    if (word !== undefined) {
      yield token('word', word);
      continue;
    }
    const text = match(TEXT) ?? match(HEREDOC);
    if (text !== undefined) {
      yield token('text', text);
      continue;
    }
    const quoted = match(QUOTED);
    if (quoted !== undefined) {
      yield token('quoted', quoted);
      continue;
    }
    const character = sql[at] ?? '';
    if ('([{'.includes(character)) {
      yield token('symbol', at + 1);
      depth += 1;
    } else if (')]}'.includes(character)) {
      depth = Math.max(0, depth - 1);
      yield token('symbol', at + 1);
    } else yield token('symbol', match(NUMBER) ?? at + 1);
  }
}
