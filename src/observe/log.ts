import type { Logger as SdkLogger, LogMetadata } from '@temporalio/common';
import { destination, pino, type DestinationStream, type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { Settings } from '../settings/settings.js';
import { EARLY_QUERY } from '../domain/early-query.js';
import { describeError } from './describe-error.js';

/** The log of a process, a table or a slice (`log.child({ table })`). */
export type Log = Logger;

export interface LogTarget {
  /** Default: standard error, so that standard output holds results only. */
  readonly stream?: DestinationStream;
  /** Whether `stream` is a terminal. Default: of standard error. */
  readonly terminal?: boolean;
}

/**
 * The log of a process: an event phrase in lower case plus fields, one JSON object a line; pretty on a terminal. Errors
 * are reduced to what may be shown (see `describeError`), and secrets are taken out of the finished line once more.
 */
export function createLogger(settings: Settings['log'], target: LogTarget = {}): Log {
  const terminal = target.terminal ?? process.stderr.isTTY === true;
  const pretty = (settings.format ?? (terminal ? 'pretty' : 'json')) === 'pretty';
  const stream = target.stream ?? destination({ dest: 2, sync: true });
  return pino(
    {
      level: settings.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: '[secret]' },
      formatters: { level: (label) => ({ level: label }), log: reduceErrors },
      hooks: { streamWrite: scrubber(settings.secrets.map((secret) => secret.reveal())) },
    },
    pretty ? prettyStream(stream, terminal) : stream,
  );
}

/** What could hold a secret by its name, one level down too. */
const REDACTED = ['password', 'apiKey', 'authorization', 'metadata', 'connection'].flatMap((name) => [
  name,
  `*.${name}`,
]);

/** Line by line in this process: no stream in between that would hold lines back when the process ends. */
function prettyStream(stream: DestinationStream, colorize: boolean): DestinationStream {
  const pretty = prettyFactory({
    colorize,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return { write: (line) => stream.write(pretty(line)) };
}

function reduceErrors(fields: Record<string, unknown>): Record<string, unknown> {
  if (!Object.values(fields).some((value) => value instanceof Error)) return fields;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? describeError(value) : value]),
  );
}

/** A net below the rule that secrets are never logged; too short ones would turn ordinary words into holes. */
function scrubber(secrets: readonly string[]): (line: string) => string {
  const spellings = new Set(
    secrets
      .filter((secret) => secret.length >= 6)
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]),
  );
  return (line) => {
    let scrubbed = line;
    for (const spelling of spellings) scrubbed = scrubbed.replaceAll(spelling, '[secret]');
    return scrubbed;
  };
}

/** Our log as Temporal's SDK writes to it: `Runtime.install({ logger: sdkLogger(log) })`. */
export function sdkLogger(log: Log): SdkLogger {
  const write = (level: SdkLevel, message: string, meta: LogMetadata = {}): void => {
    const routine =
      (meta['sdkComponent'] === 'worker' && level === 'info') ||
      ROUTINE.test(message) ||
      String(meta['failure']).includes(EARLY_QUERY) ||
      // While Temporal is away, each call of each slice, each time: 2,000 lines in 20 s with 35 tables.
      UNREACHABLE.test(`${message} ${String(meta['error'])}`);
    log[routine ? 'debug' : level](fieldsOf(meta), message.charAt(0).toLowerCase() + message.slice(1));
  };
  return {
    log: (level, message, meta) => write(SDK_LEVELS[level], message, meta),
    trace: (message, meta) => write('trace', message, meta),
    debug: (message, meta) => write('debug', message, meta),
    info: (message, meta) => write('info', message, meta),
    warn: (message, meta) => write('warn', message, meta),
    error: (message, meta) => write('error', message, meta),
  };
}

/**
 * What the SDK says of every worker at every start, since each of ours does one kind of work; and what our own lines say better: how
 * an activity failed, which the workflow repeats. So are answers that come after another attempt has taken over, or nobody asks any
 * more. A filter of noise only: nothing is decided by these texts.
 */
const ROUTINE =
  /^(?:Worker state changed|No (?:activities|workflows|Nexus services) registered|Activity failed|task failed|Activity not found on completion|Query not found when attempting)/u;
/** As the gRPC of the SDK's core spells it. That Temporal does not answer, and answers again, is said once by the health of the worker. */
const UNREACHABLE = /tonic::transport::Error/u;

/** The name of the table, where the line is about one; no token of a task, which says nothing to anybody. */
function fieldsOf(meta: LogMetadata): LogMetadata {
  const fields = { ...meta };
  delete fields['taskToken'];
  const table = /^replicate\/[^/]+\/(.+)$/u.exec(String(meta['workflowId']))?.[1];
  return table === undefined ? fields : { table, ...fields };
}

type SdkLevel = (typeof SDK_LEVELS)[keyof typeof SDK_LEVELS];

const SDK_LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
