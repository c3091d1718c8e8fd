/** The fields of one row by name, as texts; null for NULL. */
export type Fields = ReadonlyMap<string, string | null>;

/** A string begins at its quote. A pattern for all of it would overflow the stack of the engine after some MB. */
const TOKEN = /[{}[\],:"]|[^\s{}[\],:"]+/gu;

function* tokensOf(json: string): Generator<string, void, undefined> {
  for (let at = 0; ;) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(json);
    if (found === null) return;
    const [token] = found;
    const end = token === '"' ? endOfString(json, found.index) : TOKEN.lastIndex;
    yield json.slice(found.index, end);
    at = end;
  }
}

/** @param start of its first quote */
function endOfString(json: string, start: number): number {
  for (let quote = json.indexOf('"', start + 1); quote !== -1; quote = json.indexOf('"', quote + 1)) {
    let first = quote;
    while (json[first - 1] === '\\') first -= 1;
    if ((quote - first) % 2 === 0) return quote + 1;
  }
  return json.length;
}

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
  for (const token of tokensOf(text)) {
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

/** The fields of a line in its format. @returns undefined as `jsonFields` and `textFields` */
export function fieldsOf(
  line: Uint8Array,
  { format, columns = [] }: { readonly format: string; readonly columns?: readonly string[] | undefined },
): Fields | undefined {
  return format === 'JSONEachRow' ? jsonFields(line) : textFields(line, columns);
}
