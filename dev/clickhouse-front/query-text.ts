import type { IncomingMessage } from 'node:http';
import type { BodyReader } from './body.js';
import { frontError } from './front-error.js';
import type { FrontRequest } from './request.js';
import { parseStatement, type Statement } from './statement.js';

/** The statement of a request, and the first bytes of its data where it is an insert; the rest is still in the body. */
export interface Asked {
  readonly statement: Statement;
  readonly dataHead: Buffer;
  /** Query parameters that came in a form instead of the URL. */
  readonly formParameters: ReadonlyMap<string, string>;
}

// The engine's max_query_size refuses much earlier, unless the request raises it.
const MAX_QUERY_BYTES = 64 * 1024 * 1024;
// The server parses an insert within its default max_query_size, too.
const HEAD_BYTES = 256 * 1024;

/**
 * Finds the query: in the URL, in the body, in both one after the other, or in a multipart form.
 *
 * @throws FrontError SYNTAX_ERROR, QUERY_IS_TOO_LARGE, UNSUPPORTED_METHOD; BodyCutShort
 */
export async function readQuery(message: IncomingMessage, request: FrontRequest, body: BodyReader): Promise<Asked> {
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(message.headers['content-type'] ?? '')?.[1];
  if (boundary !== undefined) return readForm(request, await readAll(Buffer.alloc(0), body), boundary);
  const none = new Map<string, string>();
  const ask = (bytes: Buffer): Asked => {
    const statement = parseStatement(bytes);
    return {
      statement,
      dataHead: 'dataStart' in statement ? bytes.subarray(statement.dataStart) : Buffer.alloc(0),
      formParameters: none,
    };
  };
  // The line break keeps the body out of a comment or a name at the query's end.
  const head = Buffer.from(request.query === undefined ? '' : `${request.query}\n`, 'utf8');
  if (head.length > 1) {
    const asked = ask(head);
    if ('dataStart' in asked.statement) return asked;
    const whole = await readAll(head, body);
    return whole.length === head.length ? asked : ask(whole);
  }
  const first = await body.upTo(HEAD_BYTES);
  const asked = ask(first);
  return body.ended || 'dataStart' in asked.statement ? asked : ask(await readAll(first, body));
}

async function readAll(head: Buffer, body: BodyReader): Promise<Buffer> {
  const chunks = [head];
  let length = head.length;
  for await (const chunk of body.rest()) {
    length += chunk.length;
    if (length > MAX_QUERY_BYTES)
      throw frontError('QUERY_IS_TOO_LARGE', `The query is longer than ${MAX_QUERY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function readForm(request: FrontRequest, form: Buffer, boundary: string): Asked {
  const formParameters = new Map<string, string>();
  let query = request.query ?? '';
  // The boundary is random, so it cannot be inside a value.
  for (const part of form.toString('utf8').split(`--${boundary}`)) {
    const [, name, value] =
      /^\r\nContent-Disposition: form-data; name="([^"]*)"[^\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([\s\S]*)\r\n$/i.exec(part) ??
      [];
    if (name === undefined || value === undefined) continue;
    if (name === 'query') query += value;
    else if (name.startsWith('param_')) formParameters.set(name.slice('param_'.length), value);
  }
  const bytes = Buffer.from(query, 'utf8');
  const statement = parseStatement(bytes);
  return {
    statement,
    dataHead: 'dataStart' in statement ? bytes.subarray(statement.dataStart) : Buffer.alloc(0),
    formParameters,
  };
}
