import { ClickHouseError, parseError } from '@clickhouse/client';
import { describe, expect, test } from 'vitest';
import { classifyClickHouse } from '../../src/failure/classify-clickhouse.js';
import { Failure } from '../../src/failure/failure.js';

const WHAT = 'inserting into shop.orders';
const answer = (text: string): Error => parseError(text);
const systemError = (code: string): Error => Object.assign(new Error(`connect ${code} 10.0.0.1:8123`), { code });

describe('an answer of ClickHouse', () => {
  test.each([
    ['164', "Cannot modify 'async_insert' setting in readonly mode. ", 'READONLY', 'async_insert'],
    ['452', 'Setting max_insert_threads should not be changed. ', 'SETTING_CONSTRAINT_VIOLATION', 'max_insert_threads'],
    [
      '452',
      "Setting max_insert_threads shouldn't be greater than 1. ",
      'SETTING_CONSTRAINT_VIOLATION',
      'max_insert_threads',
    ],
  ])('with code %s names the setting that a profile refuses: %s', (code, text, type, setting) => {
    const failure = classifyClickHouse(answer(`Code: ${code}. DB::Exception: ${text}(${type})`), WHAT);
    expect(failure).toMatchObject({
      kind: 'Unauthorized',
      remedy: expect.stringContaining(`does not let pg2click set ${setting}.`) as string,
    });
  });

  test.each([
    ['<html>\r\n<head><title>413 Request Entity Too Large</title></head>', 'Misconfigured', 'HTTP 413'],
    ['<html><h1>414 Request-URI Too Large</h1></html>', 'Misconfigured', 'HTTP 414'],
    ['<html><head><title>502 Bad Gateway</title></head></html>', 'SinkUnavailable', 'cannot be reached'],
  ])('of a proxy instead is told by its status: %s', (page, kind, told) => {
    expect(classifyClickHouse(answer(page), WHAT)).toMatchObject({
      kind,
      message: expect.stringContaining(told) as string,
    });
  });

  test.each([
    ['60', 'SinkSetBack'],
    ['81', 'SinkSetBack'],
    ['117', 'SchemaMismatch'],
    ['16', 'SchemaMismatch'],
    ['27', 'RowRefused'],
    ['349', 'RowRefused'],
    ['252', 'SinkBusy'],
    ['241', 'SinkBusy'],
    ['202', 'SinkBusy'],
    ['516', 'LoginRefused'],
    ['497', 'Unauthorized'],
    ['159', 'SinkUnavailable'],
    ['3', 'SinkUnavailable'],
    ['999', 'SinkUnavailable'],
    ['48', 'SchemaMismatch'],
    ['158', 'Misconfigured'],
    ['173', 'SinkBusy'],
    ['289', 'SinkUnavailable'],
    ['352', 'SchemaMismatch'],
    ['359', 'Misconfigured'],
    ['691', 'RowRefused'],
    ['704', 'Misconfigured'],
    ['719', 'Misconfigured'],
    ['720', 'LoginRefused'],
    ['745', 'SinkBusy'],
    ['1001', 'SinkUnavailable'],
    ['49', 'Unexpected'],
    ['62', 'Unexpected'],
    ['31415', 'Unexpected'],
  ])('with code %s is %s', (code, kind) => {
    const error = new ClickHouseError({ message: 'x', code, type: 'X' });
    expect(classifyClickHouse(error, WHAT, ['id'])).toMatchObject({ kind, message: expect.stringContaining(code) });
  });

  test('that a right is missing names the statement that grants it', () => {
    const text =
      "Code: 497. DB::Exception: pg2click: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(id, `amount due`) ON shop.orders. (ACCESS_DENIED) (version 26.7)";
    expect(classifyClickHouse(answer(text), 'comparing shop.orders')).toMatchObject({
      kind: 'Unauthorized',
      remedy:
        'Run in ClickHouse: grant SELECT(id, `amount due`) ON shop.orders to the user of these settings. Then resume the table.',
    });
  });

  test('to a statement without rows refuses no row', () => {
    const error = new ClickHouseError({ message: 'x', code: '53', type: 'TYPE_MISMATCH' });
    expect(classifyClickHouse(error, 'creating shop.orders').kind).toBe('Unexpected');
  });

  test.each([
    [
      'JSON',
      `Cannot parse input: expected '"' before: 'abc"}': (while reading the value of key amount due): (at row 2)`,
      ', at row 2 of the insert, column "amount due"',
    ],
    [
      'a field nobody knows',
      `Unknown field found while parsing JSONEachRow format: note: (at row 7)`,
      ', at row 7 of the insert, column "note"',
    ],
    [
      'COPY text',
      `Cannot parse input: expected '\\n' before: 'abc': (at row 3)\n: \nRow 3:\nColumn 0,   name: id, type: Int64, parsed text: "1"\nColumn 1,   name: amount due,  type: Int32, ERROR: text "abc" is not like Int32`,
      ', at row 3 of the insert, column "amount due"',
    ],
    ['no place', `Memory is short`, ''],
  ])('tells the place: %s', (_what, text, place) => {
    const error = answer(`Code: 27. DB::Exception: ${text}: (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.7)`);
    const { message } = classifyClickHouse(error, WHAT, ['id', 'amount due', 'note']);
    expect(message).toBe(`ClickHouse refused a row while ${WHAT}${place}: 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED.`);
  });

  test.each([
    `Code: 27. DB::Exception: Cannot parse 'rosebud': (at row 1) (CANNOT_PARSE_INPUT_ASSERTION_FAILED)`,
    // Rows that look like the server's own words.
    `Code: 27. DB::Exception: Cannot parse '(ROSEBUD) Exception: rosebud (at row 9) (while reading the value of key rosebud)': (at row 1) (CANNOT_PARSE_INPUT_ASSERTION_FAILED)`,
    `Code: 4711. DB::Exception: rosebud (ROSEBUD_ERROR)`,
  ])('never passes on what a row holds: %s', (text) => {
    const failure = classifyClickHouse(answer(text), WHAT, ['id']);
    const cause = failure.cause as Error;
    const printed = [failure.message, failure.stack, cause.message, cause.stack, JSON.stringify([failure, cause])];
    expect(printed.join('\n')).not.toMatch(/rosebud/iu);
  });
});

describe('what is no answer of ClickHouse', () => {
  test.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EHOSTUNREACH',
    'ERR_STREAM_PREMATURE_CLOSE',
  ])('%s is an outage', (code) => {
    expect(classifyClickHouse(systemError(code), WHAT)).toMatchObject({
      kind: 'SinkUnavailable',
      message: expect.stringContaining(code),
    });
  });

  test.each([
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'shows a certificate whose authority is not trusted here'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'shows a certificate that is not for its name'],
    ['EPROTO', 'could not agree on TLS with us (EPROTO)'],
  ])('%s is an outage that ends by itself when the certificate is renewed', (code, sentence) => {
    expect(classifyClickHouse(systemError(code), WHAT)).toMatchObject({
      kind: 'SinkUnavailable',
      message: expect.stringContaining(sentence),
    });
  });

  test('the timeout of the client, and the page of a proxy, are outages whose words are left out', () => {
    for (const error of [new Error('Timeout error.'), answer('<html>rosebud</html>'), 'rosebud', undefined]) {
      const failure = classifyClickHouse(error, WHAT);
      expect(failure).toMatchObject({ kind: 'SinkUnavailable', message: expect.not.stringContaining('rosebud') });
      expect(failure.cause).toBeUndefined();
    }
  });

  test('a fault of ours is unexpected, and a Failure stays what it is', () => {
    expect(classifyClickHouse(new TypeError('x is not a function'), WHAT).kind).toBe('Unexpected');
    const failure = new Failure('Fenced', { message: 'fenced' });
    expect(classifyClickHouse(failure, WHAT)).toBe(failure);
  });
});
