import {
  ActivityFailure,
  ApplicationFailure,
  ApplicationFailureCategory,
  CancelledFailure,
  TimeoutFailure,
} from '@temporalio/common';
import { clip } from '../domain/clip.js';
import { Failure } from './failure.js';
import { type FailureKind, isFailureKind, policyOf } from './kinds.js';

/** The one detail of our ApplicationFailures, beside `type`, which is the kind. */
interface FailureDetails {
  readonly message: string;
  readonly remedy: string;
  /** Identity of the worker that met it; undefined where a worker of an older release did. */
  readonly worker?: string | undefined;
}

/** A failure of an activity, as the workflow sees it. */
export interface ActivityTrouble extends FailureDetails {
  readonly kind: FailureKind;
  /** No retry will help: a person must act, then resume. */
  readonly parked: boolean;
}

/** Keeps a failure far below the payload limits: histories and workflow states hold many. */
const MESSAGE_LIMIT = 1_000;

/** Errors of the language whose texts name code, not data. Others may quote what they choked on. */
const CODE_ERRORS: readonly string[] = ['TypeError', 'ReferenceError', 'RangeError'];

/**
 * What an activity throws, as Temporal shall record it: `type` is the kind, `details` hold message and remedy, parked kinds
 * are not retried, kinds with a delay of their own ask for it. Cancellation passes through.
 *
 * Causes are left behind: servers quote row values in their texts, and a history is read by many.
 */
export function toApplicationFailure(error: unknown, what: string, worker?: string): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  const failure = error instanceof Failure ? error : unexpected(error, what);
  const policy = policyOf(failure.kind);
  const details: FailureDetails = {
    message: clip(failure.message, MESSAGE_LIMIT),
    remedy: failure.remedy ?? policy.remedy,
    ...(worker === undefined ? {} : { worker }),
  };
  const converted = ApplicationFailure.create({
    type: failure.kind,
    message: details.message,
    details: [details],
    nonRetryable: policy.treatment === 'parked',
    ...(policy.delayMs === undefined ? {} : { nextRetryDelay: policy.delayMs }),
    // A kind with a delay of its own is an expected state of a busy server, not an error to be counted.
    ...(policy.delayMs === undefined ? {} : { category: ApplicationFailureCategory.BENIGN }),
  });
  converted.stack = `${converted.name}: ${details.message}\n${framesOf(failure)}`;
  return converted;
}

/** The way back: what a workflow catches from an activity. Cancellation is for the caller to look for first. */
export function readActivityFailure(error: unknown): ActivityTrouble {
  if (!(error instanceof ActivityFailure)) {
    // Not the activity but the workflow's own code: no retry of an activity clears that.
    return trouble('Unexpected', `The workflow itself failed: ${describe(error)}`, { parked: true });
  }
  const { cause, activityType } = error;
  if (cause instanceof ApplicationFailure) {
    const kind = isFailureKind(cause.type) ? cause.type : 'Unexpected';
    const details = readDetails(cause.details?.[0]);
    const parked = policyOf(kind).treatment === 'parked' || cause.nonRetryable === true;
    return trouble(kind, details.message ?? cause.message, { ...details, parked });
  }
  if (cause instanceof TimeoutFailure)
    return trouble('NoProgress', `${activityType} was not heard of in time (${cause.timeoutType}).`);
  return trouble('Unexpected', `${activityType} failed: ${describe(cause)}`);
}

function unexpected(error: unknown, what: string): Failure {
  const failure = new Failure('Unexpected', { message: `${what} failed: ${describe(error)}` });
  if (error instanceof Error) Object.defineProperty(failure, 'stack', { value: error.stack, configurable: true });
  return failure;
}

/** Name, code and place of an error; its text only where it cannot quote data. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is no error was thrown';
  const code = 'code' in error && /^\w{1,40}$/u.test(String(error.code)) ? ` ${String(error.code)}` : '';
  const text = CODE_ERRORS.includes(error.name) ? `: ${error.message}` : '';
  const place = /([^/\\(\s]+:\d+):\d+\)?$/mu.exec(framesOf(error))?.[1];
  return `${error.name}${code}${text}${place === undefined ? '' : ` (at ${place})`}`;
}

/** The stack without its first lines, which repeat the message. */
function framesOf(error: Error): string {
  const lines = (error.stack ?? '').split('\n');
  return lines.filter((line) => /^\s+at /u.test(line)).join('\n');
}

function trouble(
  kind: FailureKind,
  message: string,
  { parked = false, remedy, worker }: { parked?: boolean } & Partial<Omit<FailureDetails, 'message'>> = {},
): ActivityTrouble {
  return {
    kind,
    message: clip(message, MESSAGE_LIMIT),
    remedy: clip(remedy ?? policyOf(kind).remedy, MESSAGE_LIMIT),
    parked,
    ...(worker === undefined ? {} : { worker: clip(worker, MESSAGE_LIMIT) }),
  };
}

/** Details may come from anyone who can complete an activity, so nothing is taken for granted. */
function readDetails(value: unknown): Partial<FailureDetails> {
  if (typeof value !== 'object' || value === null) return {};
  const { message, remedy, worker } = value as Record<string, unknown>;
  return {
    ...(typeof message === 'string' ? { message } : {}),
    ...(typeof remedy === 'string' ? { remedy } : {}),
    ...(typeof worker === 'string' ? { worker } : {}),
  };
}
