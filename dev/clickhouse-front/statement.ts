import { frontError } from './front-error.js';
import { tokensOf, type Token } from './lexer.js';

/** `INSERT .. FORMAT x <data>` or `INSERT .. VALUES <data>`: the data is spooled and named between `before` and `after`. */
export interface DataInsert {
  readonly kind: 'data-insert';
  readonly table: string | undefined;
  readonly before: string;
  /** A SETTINGS clause, or nothing. */
  readonly after: string;
  readonly format: string;
  /** Offset in bytes of the data within the text that was parsed. */
  readonly dataStart: number;
}

/** `INSERT .. SELECT .. FROM input('..') FORMAT x <data>`: `input(` becomes `file('<spool>', 'x', ` between the two. */
export interface InputInsert extends Omit<DataInsert, 'kind'> {
  readonly kind: 'input-insert';
}

/** A statement with rows to show: it can write them in any format to wherever it is told to. */
export interface Output {
  readonly kind: 'output';
  readonly body: string;
  readonly format: string | undefined;
  /** A SETTINGS clause after FORMAT, or nothing. */
  readonly tail: string;
}

/** Everything else: runs as it is, and answers with little or nothing. */
export interface Command {
  readonly kind: 'command';
  readonly sql: string;
  /** The target of an INSERT .. SELECT. */
  readonly table: string | undefined;
  readonly format: string | undefined;
  /** `session`: it leaves something behind in the session (SET, USE, temporary tables). */
  readonly effect: 'session' | 'write';
}

export type Statement = DataInsert | InputInsert | Output | Command;

const OUTPUT_WORDS = new Set(['select', 'with', 'from', 'show', 'describe', 'desc', 'explain', 'exists']);
const CLAUSE_WORDS = ['format', 'values', 'select', 'settings', 'with'];
const UTF8 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');
const isWord = (token: Token | undefined, ...words: string[]): boolean =>
  token?.kind === 'word' && words.includes(token.text.toLowerCase());

/**
 * Reads one statement out of a query's bytes, which may end in an insert's data.
 *
 * @throws FrontError SYNTAX_ERROR for none or several statements, UNSUPPORTED_METHOD for files of the server
 */
export function parseStatement(bytes: Buffer): Statement {
  // Bytes and characters must have the same offsets, and data need not be text at all: so no UTF-8 until the end.
  const sql = bytes.toString('latin1');
  const tokens = tokensOf(sql);
  const first = tokens.next().value ?? undefined;
  if (first === undefined)
    throw frontError('SYNTAX_ERROR', 'Syntax error: failed at position 1 (end of query): empty query');
  return isWord(first, 'insert') ? parseInsert(sql, first) : parseOther(sql, first, [...tokensOf(sql)]);
}

function parseOther(sql: string, first: Token, tokens: readonly Token[]): Output | Command {
  const semicolon = tokens.findIndex((token) => token.text === ';' && token.kind === 'symbol');
  const statement = semicolon === -1 ? tokens : tokens.slice(0, semicolon);
  refuseMore(tokens.slice(statement.length));
  const top = statement.filter((token) => token.depth === 0);
  const end = statement.at(-1)?.end ?? sql.length;
  const format = findFormat(top);
  const insert = isWord(first, 'with') ? top.find((token) => isWord(token, 'insert')) : undefined;
  if ((first.text === '(' || isWord(first, ...OUTPUT_WORDS)) && insert === undefined) {
    if (top.some((token, index) => isWord(token, 'into') && isWord(top[index + 1], 'outfile')))
      throw frontError('UNSUPPORTED_METHOD', 'INTO OUTFILE is not allowed');
    return {
      kind: 'output',
      body: UTF8(sql.slice(0, format?.start ?? end)),
      format: format?.name,
      tail: UTF8(format === undefined ? '' : sql.slice(format.end, end)),
    };
  }
  const temporary =
    isWord(first, 'create', 'drop', 'replace') && top.slice(1, 4).some((token) => isWord(token, 'temporary'));
  return {
    kind: 'command',
    sql: UTF8(sql.slice(0, end)),
    table:
      insert === undefined
        ? undefined
        : targetName(top.slice(top.indexOf(insert) + 1).filter((token) => !isWord(token, 'into', 'table'))),
    format: format?.name,
    effect: temporary || isWord(first, 'set', 'use') ? 'session' : 'write',
  };
}

/** `FORMAT name` at the end, or before a last SETTINGS. A column called format is followed by neither. */
function findFormat(top: readonly Token[]): { start: number; end: number; name: string } | undefined {
  for (let index = top.length - 2; index >= 0; index -= 1) {
    const [format, name, next] = top.slice(index, index + 3);
    if (format === undefined || name === undefined || !isWord(format, 'format') || name.kind !== 'word') continue;
    if (next === undefined || isWord(next, 'settings')) return { start: format.start, end: name.end, name: name.text };
  }
  return undefined;
}

function parseInsert(sql: string, insert: Token): DataInsert | InputInsert | Command {
  const tokens: Token[] = [];
  let head: { table: string | undefined; at: number } | undefined;
  let input: Token | undefined;
  let select = false;
  let semicolon: Token | undefined;
  for (const token of tokensOf(sql, insert.end)) {
    if (semicolon !== undefined) refuseMore([token]);
    const last = tokens.at(-1);
    // The name and the column list come first: a table may be called values or format.
    head ??= targetEnded(tokens, token);
    tokens.push(token);
    if (head === undefined) continue;
    if (token.text === ';' && token.kind === 'symbol') semicolon = token;
    if (select && token.text === '(' && isWord(last, 'input')) input = token;
    if (token.depth !== 0) continue;
    if (isWord(token, 'select', 'with')) select = true;
    if (!select && isWord(token, 'infile')) throw frontError('UNSUPPORTED_METHOD', 'FROM INFILE is not allowed');
    const named = last !== undefined && last.start >= head.at && isWord(last, 'format') && token.kind === 'word';
    if (named && !select) return dataInsert(sql, head, last, afterFormat(sql, token), token.text);
    if (!select && isWord(token, 'values')) return dataInsert(sql, head, token, token.end, 'Values');
    if (!named) continue;
    if (input !== undefined)
      return {
        kind: 'input-insert',
        table: head.table,
        before: UTF8(sql.slice(0, input.start).replace(/input\s*$/i, '')),
        after: UTF8(sql.slice(input.end, last.start)),
        format: token.text,
        dataStart: afterFormat(sql, token),
      };
  }
  const end = semicolon?.start ?? sql.length;
  return { kind: 'command', sql: UTF8(sql.slice(0, end)), table: head?.table, format: undefined, effect: 'write' };
}

function dataInsert(
  sql: string,
  head: { table: string | undefined; at: number },
  clause: Token,
  dataStart: number,
  format: string,
): DataInsert {
  return {
    kind: 'data-insert',
    table: head.table,
    before: UTF8(sql.slice(0, head.at)),
    after: UTF8(sql.slice(head.at, clause.start)),
    format,
    dataStart,
  };
}

/** Data begins after the blanks and the one line break that follow the format's name, as the server has it. */
function afterFormat(sql: string, name: Token): number {
  const gap = /[ \t\f]*;?[ \t\f]*\r?\n?/y;
  gap.lastIndex = name.end;
  gap.test(sql);
  return gap.lastIndex;
}

/** Where the target of an insert ended (`[into] [table] name [(columns)]`), once `next` is the first token after it. */
function targetEnded(tokens: readonly Token[], next: Token): { table: string | undefined; at: number } | undefined {
  const last = tokens.at(-1);
  if (last === undefined || next.depth !== 0 || '.(){}'.includes(next.text) || '.{'.includes(last.text))
    return undefined;
  const named = isWord(tokens[0], 'into') ? tokens.slice(1) : tokens;
  if (named.length === 0) return undefined;
  // `table` and `function` are keywords only in front of another name.
  const prefixed = isWord(named[0], 'table', 'function');
  if (prefixed && named.length === 1 && isName(next) && !isWord(next, ...CLAUSE_WORDS)) return undefined;
  return {
    table: targetName(prefixed && isName(named[1]) ? named.slice(1) : named, isWord(named[0], 'function')),
    at: last.end,
  };
}

/** `table` or `database.table` without quotes; undefined where it is a function or a parameter. */
function targetName([first, dot, second]: readonly Token[], isFunction = false): string | undefined {
  if (isFunction || !isName(first)) return undefined;
  if (dot?.text !== '.') return unquote(first);
  return isName(second) ? `${unquote(first)}.${unquote(second)}` : undefined;
}

function isName(token: Token | undefined): token is Token {
  return token?.kind === 'word' || token?.kind === 'quoted';
}

function unquote(name: Token): string {
  if (name.kind === 'word') return name.text;
  const quote = name.text[0] ?? '';
  return UTF8(
    name.text
      .slice(1, -1)
      .replaceAll(quote + quote, quote)
      .replaceAll(/\\([\s\S])/g, '$1'),
  );
}

function refuseMore(rest: readonly Token[]): void {
  const more = rest.find((token) => token.text !== ';');
  if (more !== undefined)
    throw frontError(
      'SYNTAX_ERROR',
      `Syntax error (Multi-statements are not allowed): failed at position ${more.start + 1}`,
    );
}
