import { expect, it } from 'vitest';
import { EARLY_QUERY } from '../../src/domain/early-query.js';
import { Failure } from '../../src/failure/failure.js';
import type { ErrorShape } from '../../src/observe/describe-error.js';
import { createLogger, sdkLogger, type Log } from '../../src/observe/log.js';
import { Secret } from '../../src/settings/secret.js';

function logTo(lines: string[], secrets: readonly string[] = [], format: 'json' | 'pretty' = 'json'): Log {
  return createLogger(
    { level: 'debug', format, secrets: secrets.map((secret) => new Secret(secret)) },
    { stream: { write: (line: string) => void lines.push(line) }, terminal: false },
  );
}

function only(lines: readonly string[]): Record<string, unknown> {
  expect(lines).toHaveLength(1);
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

it('writes one JSON object a line: level by name, ISO time, fields, message', () => {
  const lines: string[] = [];
  logTo(lines).child({ table: 'public.orders' }).info({ rows: 3 }, 'batch loaded');
  expect(only(lines)).toMatchObject({ level: 'info', table: 'public.orders', rows: 3, msg: 'batch loaded' });
  expect(only(lines)['time']).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/u);
});

it('takes secrets out of whatever a line says, also where JSON or a URL spells them otherwise', () => {
  const lines: string[] = [];
  logTo(lines, ['pa"ss w/ord', 'pw']).info(
    { url: `http://me:${encodeURIComponent('pa"ss w/ord')}@h`, deep: { deeper: ['pa"ss w/ord'] } },
    'with pa"ss w/ord, and pw, which is too short to hunt for',
  );
  expect(lines.join('')).not.toMatch(/pa\\?"ss|pa%22ss/u);
  expect(only(lines)['msg']).toBe('with [secret], and pw, which is too short to hunt for');
});

it('hides fields that are named like secrets', () => {
  const lines: string[] = [];
  logTo(lines).info({ password: 'x', server: { password: 'y', apiKey: 'z' } }, 'event');
  expect(only(lines)).toMatchObject({ password: '[secret]', server: { password: '[secret]', apiKey: '[secret]' } });
});

it('reduces an error to what may be shown: servers and parsers quote row values in their texts', () => {
  const lines: string[] = [];
  const database = Object.assign(new Error('Key (email)=(ann@example.com) already exists'), { code: '23505' });
  database.name = 'error';
  const error = new Failure('RowRefused', { message: 'ClickHouse refused a row.', remedy: 'Look.', cause: database });
  logTo(lines).error({ error }, 'slice failed');
  expect(lines.join('')).not.toContain('ann@example.com');
  expect(only(lines)['error']).toEqual({
    name: 'Failure',
    message: 'ClickHouse refused a row.',
    kind: 'RowRefused',
    remedy: 'Look.',
    cause: { name: 'error', code: '23505' },
  });
});

it('tells the whole chain of causes of what is unexpected, with the place of each, and no value', () => {
  const lines: string[] = [];
  const database = Object.assign(new Error('Key (email)=(ann@example.com) already exists'), {
    code: '23505',
    constraint: 'tables_pkey',
    routine: '_bt_check_unique',
    detail: 'ann@example.com',
  });
  database.name = 'error';
  let cause: Error = new AggregateError([database], 'all failed');
  for (let depth = 1; depth <= 6; depth += 1) cause = new TypeError(`level ${depth}`, { cause });
  logTo(lines).warn(
    { error: new Failure('Unexpected', { message: 'PostgreSQL said 23505.', cause }) },
    'is being retried',
  );
  expect(lines.join('')).not.toContain('ann@example.com');
  let link = only(lines)['error'] as ErrorShape | undefined;
  const names: string[] = [];
  for (; link !== undefined; link = link.cause) {
    names.push(link.name);
    expect(link.stack).toContain('log.test.ts');
    if (link.cause === undefined)
      expect(link).toMatchObject({ code: '23505', facts: { constraint: 'tables_pkey', routine: '_bt_check_unique' } });
  }
  expect(names).toEqual(['Failure', ...Array<string>(6).fill('TypeError'), 'AggregateError', 'error']);
});

it('does not quote what JSON.parse choked on, and keeps the place of a bug', () => {
  const lines: string[] = [];
  try {
    JSON.parse('{"name": "Ann Example" oops}');
  } catch (error) {
    logTo(lines).error({ error }, 'unexpected');
  }
  expect(lines.join('')).not.toContain('Ann');
  expect(only(lines)['error']).toMatchObject({ name: 'SyntaxError', stack: expect.stringContaining('log.test.ts') });
});

it('is pretty where asked to be', () => {
  const lines: string[] = [];
  logTo(lines, [], 'pretty').warn({ rows: 3 }, 'batch loaded');
  expect(lines.join('')).toMatch(/WARN: batch loaded \{"rows":3\}/u);
});

it("serves Temporal's SDK, whose chatter at every start is for debugging", () => {
  const lines: string[] = [];
  const sdk = sdkLogger(logTo(lines));
  sdk.info('Worker state changed', { sdkComponent: 'worker', state: 'RUNNING' });
  sdk.log('WARN', 'Something else', { sdkComponent: 'worker' });
  const [first, second] = lines.map((line) => JSON.parse(line) as object);
  expect(first).toMatchObject({ level: 'debug', msg: 'worker state changed', state: 'RUNNING' });
  expect(second).toMatchObject({ level: 'warn', msg: 'something else' });
});

it.each([
  [
    'gRPC call record_activity_task_heartbeat retried 5 times',
    { error: 'Status { source: Some(tonic::transport::Error(Io)) }' },
  ],
  ['Error when recording heartbeat: Status { source: Some(tonic::transport::Error(Transport)) }', {}],
  ['Network error while completing activity', { error: 'Status { source: Some(tonic::transport::Error(Transport)) }' }],
  [
    'Activity not found on completion. This may happen if the activity has already been cancelled but completed anyway.',
    {},
  ],
  ['Query not found when attempting to respond to it', {}],
  ['Failing legacy query request', { failure: `Failure { message: "${EARLY_QUERY}" }` }],
])('what the SDK says of each call while Temporal is away is for debugging: %s', (message, meta) => {
  const lines: string[] = [];
  sdkLogger(logTo(lines)).warn(message, { sdkComponent: 'core', ...meta });
  expect(only(lines)).toMatchObject({ level: 'debug' });
});

it('a call that Temporal refuses is worth a line', () => {
  const lines: string[] = [];
  const error = 'Status { code: ResourceExhausted, message: "namespace rate limit exceeded" }';
  sdkLogger(logTo(lines)).warn('gRPC call poll_activity_task_queue retried 5 times', { sdkComponent: 'core', error });
  expect(only(lines)).toMatchObject({ level: 'warn' });
});

it('names the table on the lines of the SDK about one, and drops tokens', () => {
  const lines: string[] = [];
  const meta = { workflowId: 'replicate/default/shop.orders', taskToken: 'CiQw', sdkComponent: 'workflow' };
  sdkLogger(logTo(lines)).info('request handled', meta);
  expect(only(lines)).toMatchObject({ level: 'info', table: 'shop.orders', msg: 'request handled' });
  expect(lines.join('')).not.toContain('CiQw');
});
