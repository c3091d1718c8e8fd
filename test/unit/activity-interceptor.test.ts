import type { Context } from '@temporalio/activity';
import { DatabaseError } from 'pg';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { classifyKafka } from '../../src/failure/classify-kafka.js';
import { asLedgerFailure, classifyPostgres } from '../../src/failure/classify-postgres.js';
import { Failure } from '../../src/failure/failure.js';
import { NO_METERS } from '../../src/observe/meters.js';
import { parseKey } from '../../src/source/copy/parse-key.js';
import { activityInterceptor } from '../../src/worker/activity-interceptor.js';

/** The lines of the log of an activity that fails. */
async function logOf(
  activityType: string,
  error: () => unknown,
  more: object = {},
): Promise<readonly { level: number; msg: string }[]> {
  const lines: string[] = [];
  const log = pino({}, { write: (line) => void lines.push(line) });
  const factory = activityInterceptor({
    meters: NO_METERS,
    log,
    identity: 'here',
    addresses: { clickhouse: 'http://ch:8123' },
  });
  const { inbound } = factory({ info: { activityType, attempt: 1 } } as Context);
  const request = { pipeline: 'default', schema: 'public', table: 'orders', ...more };
  const run = inbound?.execute?.({ args: [request], headers: {} }, () => Promise.reject(error() as Error));
  await expect(run).rejects.toThrow();
  return lines.map((line) => JSON.parse(line) as { level: number; msg: string });
}

const misconfigured = () => new Failure('Misconfigured', { message: 'There is none.' });

it.each([
  [{ stage: 'load:main' }, { stage: 'load:main', task: 'load:main' }],
  [{}, { task: 'prepare' }],
])('a line names the table, the task, the worker, and the stage where the task is one: %j', async (more, said) => {
  const [line] = await logOf('prepareTable', misconfigured, more);
  expect(line).toMatchObject({ table: 'public.orders', worker: 'here', ...said });
  expect(Object.hasOwn(line ?? {}, 'stage')).toBe('stage' in said);
});

it.each(['startBackfill', 'cancelBackfill', 'changeQuarantine', 'addLoader', 'startReplay'])(
  'a request that is refused (%s) is logged as such, and parks nothing',
  async (activityType) => {
    expect(await logOf(activityType, misconfigured)).toMatchObject([{ level: 40, msg: 'refused: There is none.' }]);
  },
);

it.each(['loadSlice', 'prepareTable', 'changeRoute'])('a failure of %s parks', async (activityType) => {
  expect(await logOf(activityType, misconfigured)).toMatchObject([{ level: 50, msg: 'parked: There is none.' }]);
});

it('a key that a person gave is in the answer, and not in the log', async () => {
  const error = (): unknown => {
    try {
      return parseKey({ name: { schema: 'public', table: 'orders' }, key: ['region', 'id'] }, 'secret-key');
    } catch (thrown) {
      return thrown;
    }
  };
  expect((error() as Failure).message).toContain('"secret-key" is none');
  const [line] = await logOf('startBackfill', error);
  expect(line?.msg).toMatch(/^refused: A key of public\.orders is a JSON array of 2 .* what was given is none\.$/u);
});

it.each([
  [
    () => new Failure('SinkUnavailable', { message: 'It is away.' }),
    { server: 'clickhouse', address: 'http://ch:8123' },
  ],
  [
    () => classifyPostgres(Object.assign(new DatabaseError('no', 2, 'error'), { code: '42501' }), 'reading'),
    { server: 'postgresql' },
  ],
  [
    () => asLedgerFailure(classifyPostgres(Object.assign(new DatabaseError('no', 2, 'error'), { code: '42501' }), 'x')),
    { server: 'ledger' },
  ],
  [() => classifyKafka(Object.assign(new Error('x'), { type: 'POLICY_VIOLATION' }), 'Creating'), { server: 'kafka' }],
])('a line about a failure says which worker and which server: %#', async (error, where) => {
  expect(await logOf('loadSlice', error)).toMatchObject([{ worker: 'here', ...where }]);
});

it.each([
  [
    'the receipt of a slice',
    { stage: 'publish' },
    { rows: 1 },
    ['Pg2clickTable'],
    { rows: 1, lackingAttributes: ['Pg2clickTable'] },
  ],
  ['that of a slice, where none is lacking', { stage: 'publish' }, { rows: 1 }, [], { rows: 1, lackingAttributes: [] }],
  ['that of a slice, where nobody knows', { stage: 'publish' }, { rows: 1 }, undefined, { rows: 1 }],
  ['any other', {}, { rows: 1 }, ['Pg2clickTable'], { rows: 1 }],
  ['none', { stage: 'publish' }, undefined, ['Pg2clickTable'], undefined],
] as const)('what Temporal lacks is told with %s', async (_what, more, receipt, lacking, told) => {
  const options = {
    meters: NO_METERS,
    log: pino({ level: 'silent' }),
    identity: 'here',
    lackingAttributes: () => lacking,
  };
  const { inbound } = activityInterceptor(options)({ info: { activityType: 'publishSlice', attempt: 1 } } as Context);
  const request = { pipeline: 'default', schema: 'public', table: 'orders', ...more };
  expect(await inbound?.execute?.({ args: [request], headers: {} }, () => Promise.resolve(receipt))).toEqual(told);
});
