import { parseError } from '@clickhouse/client';
import { expect, it } from 'vitest';
import { asFrontError, errorText } from '../../dev/clickhouse-front/front-error.js';
import { statusOf } from '../../dev/clickhouse-front/status.js';

const FROM_FILE = `Code: 27. DB::Exception: Code: 27. DB::Exception: Cannot parse input: (at row 1)
: (in file/uri /tmp/spool/1): While executing ParallelParsingBlockInputFormat: While executing File: data for INSERT was parsed from file. (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.7.2.1). (CANNOT_PARSE_INPUT_ASSERTION_FAILED)`;

it.each([
  [
    "Code: 60. DB::Exception: Unknown table 'nope'. Maybe you meant system.one?. (UNKNOWN_TABLE)",
    '60',
    'UNKNOWN_TABLE',
    404,
  ],
  [
    'Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed): x. . (SYNTAX_ERROR)',
    '62',
    'SYNTAX_ERROR',
    400,
  ],
  [FROM_FILE, '27', 'CANNOT_PARSE_INPUT_ASSERTION_FAILED', 400],
  [
    'Code: 73. DB::Exception: Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Nope. (UNKNOWN_FORMAT) (version 26.7.2.1). (UNKNOWN_FORMAT) (version 26.7.2.1). (UNKNOWN_FORMAT)',
    '73',
    'UNKNOWN_FORMAT',
    404,
  ],
  ['Failed to create connection', '1002', 'UNKNOWN_EXCEPTION', 500],
])('the client reads code and type out of %s', (text, code, type, status) => {
  const error = asFrontError(new Error(text));
  const sent = errorText(error, '26.7.2.1');
  expect(parseError(sent)).toMatchObject({ code, type });
  expect(statusOf(error.type)).toBe(status);
  expect(sent).not.toContain('spool');
  expect(sent.match(/Exception: /g)).toHaveLength(1);
});
