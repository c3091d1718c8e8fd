import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  RetryState,
  TimeoutFailure,
  TimeoutType,
} from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import { readActivityFailure, toApplicationFailure } from '../../src/failure/application-failure.js';
import { Failure } from '../../src/failure/failure.js';
import { FAILURE_KINDS, policyOf } from '../../src/failure/kinds.js';

function convert(error: unknown): ApplicationFailure {
  const converted = toApplicationFailure(error, 'loadSlice');
  if (!(converted instanceof ApplicationFailure)) throw new Error('not an ApplicationFailure');
  return converted;
}

function inWorkflow(cause: Error | undefined): ReturnType<typeof readActivityFailure> {
  return readActivityFailure(
    new ActivityFailure('failed', 'loadSlice', '1', RetryState.NON_RETRYABLE_FAILURE, 'w', cause),
  );
}

describe('a failure on its way to Temporal', () => {
  it.each(FAILURE_KINDS)('%s arrives in the workflow as it was thrown', (kind) => {
    const converted = convert(new Failure(kind, { message: 'orders: something happened.' }));
    const { treatment, remedy, delayMs } = policyOf(kind);
    expect(converted).toMatchObject({ type: kind, nonRetryable: treatment === 'parked' });
    expect(converted.nextRetryDelay ?? undefined).toBe(delayMs);
    const message = 'orders: something happened.';
    expect(inWorkflow(converted)).toEqual({ kind, message, remedy, parked: treatment === 'parked' });
  });

  it('brings a remedy of its own', () => {
    const converted = convert(new Failure('RowRefused', { message: 'm', remedy: 'Shorten it.' }));
    expect(inWorkflow(converted).remedy).toBe('Shorten it.');
  });

  it('leaves its cause behind: servers quote rows in their texts', () => {
    const cause = new Error('invalid input syntax for type integer: "4111 1111 1111 1111"');
    const converted = convert(new Failure('RowRefused', { message: 'm', cause }));
    expect(converted.cause).toBeUndefined();
    expect(JSON.stringify(converted, Object.getOwnPropertyNames(converted))).not.toContain('4111');
  });

  it('is cut where it would fill the history', () => {
    expect(convert(new Failure('RowRefused', { message: 'x'.repeat(10_000) })).message).toHaveLength(1_000);
  });

  it('passes through when it is a cancellation, or Temporal’s already', () => {
    const abort = Object.assign(new Error('aborted'), { name: 'AbortError' });
    for (const error of [new CancelledFailure('c'), ApplicationFailure.create({ type: 'RowRefused' }), abort])
      expect(toApplicationFailure(error, 'loadSlice')).toBe(error);
  });
});

describe('an error that is no failure', () => {
  it('is retried as Unexpected, with its name, its code and its place but not its text', () => {
    const converted = convert(Object.assign(new Error('row (Jane Doe)'), { name: 'DatabaseError', code: '22P02' }));
    expect(converted).toMatchObject({ type: 'Unexpected', nonRetryable: false });
    expect(converted.message).toMatch(
      /^loadSlice failed: DatabaseError 22P02 \(at application-failure\.test\.ts:\d+\)$/u,
    );
    expect(converted.stack).not.toContain('Jane');
    expect(converted.stack).toContain('application-failure.test.ts');
  });

  it('keeps its text when that speaks of code', () => {
    expect(convert(new TypeError('x is not a function')).message).toContain('TypeError: x is not a function');
  });

  it('may be anything', () => {
    for (const thrown of ['text', 7, null, undefined, {}]) expect(convert(thrown).type).toBe('Unexpected');
  });
});

describe('a failure read in the workflow', () => {
  it('of an unknown type is Unexpected: tried again, unless it forbids that', () => {
    expect(inWorkflow(ApplicationFailure.create({ type: 'Gremlin', message: 'm' }))).toMatchObject({
      kind: 'Unexpected',
      parked: false,
    });
    expect(inWorkflow(ApplicationFailure.nonRetryable('m', 'Gremlin'))).toMatchObject({
      kind: 'Unexpected',
      parked: true,
    });
  });

  it('names the worker that met it', () => {
    const failure = new Failure('LoginRefused', { message: 'm' });
    expect(inWorkflow(toApplicationFailure(failure, 'loadSlice', 'host/7/all/1a2b'))).toMatchObject({
      worker: 'host/7/all/1a2b',
    });
  });

  it('with details of any shape falls back on message and policy', () => {
    for (const detail of [undefined, null, 7, 'x', {}, { message: 1, remedy: [], worker: {} }])
      expect(inWorkflow(ApplicationFailure.create({ type: 'RowRefused', message: 'm', details: [detail] }))).toEqual({
        kind: 'RowRefused',
        message: 'm',
        remedy: policyOf('RowRefused').remedy,
        parked: true,
      });
  });

  it('of a silent worker passes', () => {
    const timeout = new TimeoutFailure('activity Heartbeat timeout', undefined, TimeoutType.HEARTBEAT);
    expect(inWorkflow(timeout)).toMatchObject({ kind: 'NoProgress', parked: false });
  });

  it('of the workflow’s own code waits for a person', () => {
    expect(readActivityFailure(new TypeError('bug'))).toMatchObject({ kind: 'Unexpected', parked: true });
  });
});
