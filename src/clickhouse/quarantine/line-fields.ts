/** The fields of one row by name, as texts; null for NULL. */
export type Fields = ReadonlyMap<string, string | null>;

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gu;

/**
 * The fields of a JSON object, as texts with all their digits: `JSON.parse` would round a bigint. Fields that are objects or arrays are
 * left out.
 * @returns undefined for a text that is no JSON object
 */
export function jsonFields(line: Uint8Array): Fields | undefined {
  const text = Buffer.from(line).toString('utf8');
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  } catch {
    return undefined;
  }
  const fields = new Map<string, string | null>();
  let depth = 0;
  let name: string | undefined;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    if (depth !== 1 || token === ':' || /^[{}[\]]$/u.test(token)) continue;
    if (token === ',') name = undefined;
    else if (name === undefined) name = JSON.parse(token) as string;
    else fields.set(name, token.startsWith('"') ? (JSON.parse(token) as string) : token === 'null' ? null : token);
  }
  return fields;
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', 0: '\0' };

/** The fields of a line of COPY text. @returns undefined where it has more of them or fewer than columns */
export function textFields(line: Uint8Array, columns: readonly string[]): Fields | undefined {
  const values = Buffer.from(line).toString('utf8').split('\t');
  if (values.length !== columns.length) return undefined;
  return new Map(columns.map((name, index) => [name, unescape(values[index] ?? '')]));
}

/** A value of COPY text. */
export function escapeText(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}

function unescape(value: string): string | null {
  if (value === '\\N') return null;
  return value.replaceAll(/\\(.)/gsu, (_, escaped: string) => ESCAPES[escaped] ?? escaped);
}
