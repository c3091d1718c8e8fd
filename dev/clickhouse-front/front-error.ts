/** An error in the words of a ClickHouse server: its code, its type and a sentence. */
export class FrontError extends Error {
  readonly code: number;
  readonly type: string;

  constructor(code: number, type: string, message: string) {
    super(message);
    this.name = 'FrontError';
    this.code = code;
    this.type = type;
  }
}

/** The errors that the front raises itself, with the server's codes; the engine brings all others. */
const CODES = {
  UNSUPPORTED_METHOD: 1,
  CANNOT_READ_ALL_DATA: 33,
  BAD_ARGUMENTS: 36,
  NOT_IMPLEMENTED: 48,
  SYNTAX_ERROR: 62,
  READONLY: 164,
  QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: 216,
  QUERY_IS_TOO_LARGE: 229,
  SESSION_NOT_FOUND: 372,
  SESSION_IS_LOCKED: 373,
  INVALID_SESSION_TIMEOUT: 374,
  QUERY_WAS_CANCELLED: 394,
  AUTHENTICATION_FAILED: 516,
  UNKNOWN_EXCEPTION: 1002,
} as const;

/** An error that the front raises itself. */
export function frontError(type: keyof typeof CODES, message: string): FrontError {
  return new FrontError(CODES[type], type, message);
}

// `Code: 60. DB::Exception: text. (UNKNOWN_TABLE)`. What comes out of a file carries the whole pattern twice or more.
const OUTER =
  /^Code: (\d+)\. DB::(?:\w*)Exception: ([\s\S]*?)\s*\(([A-Z][A-Z0-9_]{2,})\)(?: \(version [^)]*\))?\.?\s*$/;
const INNER = /^Code: \d+\. DB::\w*Exception: ([\s\S]*?)(?:\s*\([A-Z][A-Z0-9_]{2,}\))?(?: \(version [^)]*\))?\.?$/;
// On a server there is no such file, and where the body was spooled is nobody's business.
const SPOOL = /:? ?\(in file\/uri [^)]*\)|: While executing File: data for INSERT was parsed from file/g;

/** What the engine, Node or the front threw, as a server would say it. */
export function asFrontError(thrown: unknown): FrontError {
  if (thrown instanceof FrontError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const outer = OUTER.exec(text);
  if (outer === null) return frontError('UNKNOWN_EXCEPTION', text);
  let message = outer[2] ?? '';
  for (let inner = INNER.exec(message); inner !== null; inner = INNER.exec(message)) message = inner[1] ?? '';
  return new FrontError(Number(outer[1]), outer[3] ?? 'UNKNOWN_EXCEPTION', message.replaceAll(SPOOL, ''));
}

/** The text of an error response: the pattern that every client parses. */
export function errorText(error: FrontError, version: string): string {
  const message = /[.!?]$/.test(error.message) ? error.message : `${error.message}.`;
  return `Code: ${error.code}. DB::Exception: ${message} (${error.type}) (version ${version})\n`;
}
