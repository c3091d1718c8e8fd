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
const LINE_COMMENT = /--|#[! ]/y;
const WORD = /[A-Za-z_][A-Za-z0-9_$]*/y;
const NUMBER = /[0-9][A-Za-z0-9_.]*/y;
const HEREDOC = /\$[A-Za-z0-9_]*\$/y;

/**
 * The tokens of a query, lazily: what follows `FORMAT name` in an insert is data, and must not be read as SQL.
 * Lenient: what it does not know is a symbol, what is not closed ends with the text, and the engine has the last word.
 */
export function* tokensOf(sql: string, from = 0): Generator<Token, void, undefined> {
  let at = from;
  let depth = 0;
  while (at < sql.length) {
    const blank = blankEnd(sql, at);
    if (blank > at) {
      at = blank;
      continue;
    }
    const start = at;
    const character = sql.charAt(at);
    const [kind, end] = tokenAt(sql, at, character);
    if (')]}'.includes(character)) depth = Math.max(0, depth - 1);
    yield { kind, text: sql.slice(start, end), start, end, depth };
    if ('([{'.includes(character)) depth += 1;
    at = end;
  }
}

function tokenAt(sql: string, at: number, character: string): readonly [kind: Token['kind'], end: number] {
  if (character === "'") return ['text', quoteEnd(sql, at, character)];
  if (character === '"' || character === '`') return ['quoted', quoteEnd(sql, at, character)];
  const word = matchEnd(WORD, sql, at);
  if (word !== undefined) return ['word', word];
  const tagEnd = character === '$' ? matchEnd(HEREDOC, sql, at) : undefined;
  if (tagEnd !== undefined) return ['text', endAfter(sql, sql.slice(at, tagEnd), tagEnd)];
  return ['symbol', matchEnd(NUMBER, sql, at) ?? at + 1];
}

/** Where the blanks or the comment at `at` end; `at` itself where there are none. */
function blankEnd(sql: string, at: number): number {
  const space = matchEnd(SPACE, sql, at);
  if (space !== undefined) return space;
  if (sql.startsWith('/*', at)) return endAfter(sql, '*/', at + 2);
  return matchEnd(LINE_COMMENT, sql, at) === undefined ? at : endAfter(sql, '\n', at);
}

// By hand: a regular expression keeps a place to return to for every escape, and runs out of them in a long literal.
function quoteEnd(sql: string, start: number, quote: string): number {
  for (let at = start + 1; at < sql.length; at += 1) {
    const character = sql.charAt(at);
    if (character === '\\') at += 1;
    else if (character === quote && sql.charAt(at + 1) === quote) at += 1;
    else if (character === quote) return at + 1;
  }
  return sql.length;
}

function endAfter(sql: string, mark: string, from: number): number {
  const found = sql.indexOf(mark, from);
  return found === -1 ? sql.length : found + mark.length;
}

function matchEnd(pattern: RegExp, sql: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(sql) ? pattern.lastIndex : undefined;
}
