/** The part of PromQL that the shipped alert rules are written in, as a tree. */
export type Expression =
  | { readonly kind: 'number'; readonly value: number }
  | Selector
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly kind: 'aggregate';
      readonly by: readonly string[];
      readonly name: string;
      readonly of: Expression;
    }
  | Binary;

export interface Selector {
  readonly kind: 'selector';
  readonly name: string;
  readonly matchers: readonly Matcher[];
  /** Seconds, of a range. */
  readonly range: number | undefined;
  /** Seconds into the past. */
  readonly offset: number;
}

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

export interface Binary {
  readonly kind: 'binary';
  readonly operator: string;
  readonly left: Expression;
  readonly right: Expression;
  /** Labels that must agree; all where it is not given. */
  readonly on: readonly string[] | undefined;
}

const AGGREGATIONS = new Set(['sum', 'max', 'min', 'count']);
/** What binds least comes first. */
const LEVELS: readonly (readonly string[])[] = [
  ['or'],
  ['and', 'unless'],
  ['==', '!=', '<=', '>=', '<', '>'],
  ['+', '-'],
  ['*', '/'],
];
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const TOKENS =
  /\s*(?:("(?:[^"\\]|\\.)*")|(\d+[smhd])|(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|([a-z_:][\w:]*)|(==|!=|<=|>=|=~|!~|[-+*/(){}[\],=<>]))/giy;

/** @throws SyntaxError for what is not written in that part */
export function parsePromql(text: string): Expression {
  const parser = new Parser(tokensOf(text));
  const expression = parser.binary(0);
  parser.end();
  return expression;
}

/** `1m` in seconds. */
export function durationSeconds(text: string): number {
  return Number(text.slice(0, -1)) * (UNITS[text.slice(-1)] ?? Number.NaN);
}

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = [];
  TOKENS.lastIndex = 0;
  for (const end = text.trimEnd().length; TOKENS.lastIndex < end;) {
    const at = TOKENS.lastIndex;
    const found = TOKENS.exec(text);
    if (found === null) throw new SyntaxError(`This is not understood: ${text.slice(at)}`);
    tokens.push(found[0].trim());
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#single();
    let left = this.binary(level + 1);
    while (operators.includes(this.#peek())) {
      const operator = this.#next();
      const on = this.#take('on') ? this.#names() : undefined;
      left = { kind: 'binary', operator, left, right: this.binary(level + 1), on };
    }
    return left;
  }

  end(): void {
    if (this.#peek() !== '') throw new SyntaxError(`Nothing more was expected: ${this.#peek()}`);
  }

  #single(): Expression {
    if (this.#take('(')) {
      const inner = this.binary(0);
      this.#expect(')');
      return inner;
    }
    const token = this.#next();
    if (/^\d/u.test(token)) return { kind: 'number', value: Number(token) };
    if (token === '{') return this.#selector('', true);
    if (AGGREGATIONS.has(token) && ['by', '('].includes(this.#peek())) return this.#aggregate(token);
    return this.#peek() === '(' ? { kind: 'call', name: token, args: this.#args() } : this.#selector(token);
  }

  #aggregate(name: string): Expression {
    const by = this.#take('by') ? this.#names() : [];
    this.#expect('(');
    const of = this.binary(0);
    this.#expect(')');
    return { kind: 'aggregate', name, by, of };
  }

  #args(): readonly Expression[] {
    this.#expect('(');
    const args: Expression[] = [];
    while (!this.#take(')')) {
      args.push(this.binary(0));
      this.#take(',');
    }
    return args;
  }

  #selector(name: string, isOpen = false): Selector {
    const matchers: Matcher[] = [];
    if (isOpen || this.#take('{'))
      while (!this.#take('}')) {
        const label = this.#next();
        const operator = this.#next() as Matcher['operator'];
        matchers.push({ label, operator, value: JSON.parse(this.#next()) as string });
        this.#take(',');
      }
    let range: number | undefined;
    if (this.#take('[')) {
      range = durationSeconds(this.#next());
      this.#expect(']');
    }
    const offset = this.#take('offset') ? durationSeconds(this.#next()) : 0;
    return { kind: 'selector', name, matchers, range, offset };
  }

  #names(): readonly string[] {
    this.#expect('(');
    const names: string[] = [];
    while (!this.#take(')')) {
      names.push(this.#next());
      this.#take(',');
    }
    return names;
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #next(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new SyntaxError('The expression ends too early.');
    return token;
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new SyntaxError(`"${token}" was expected, not "${this.#peek()}".`);
  }
}
