import { createReadStream, rmSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Session } from 'chdb';
import { summaryOf, type Answer } from './answer.js';
import { run, type Outcome } from './engine.js';
import type { Pipe } from './fifo.js';
import { asFrontError } from './front-error.js';
import type { Running } from './running.js';
import { literal } from './settings.js';
import type { Output } from './statement.js';

/** One query with rows, and where they go. */
export interface ResultOptions {
  readonly session: Session;
  readonly statement: Output;
  readonly defaultFormat: string;
  readonly running: Running;
  readonly answer: Answer;
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal;
}

// The server holds back as much before it sends its headers: an error within has a status of its own.
const HELD_BYTES = 1024 * 1024;
const KILL_AGAIN_MS = 100;

/**
 * Runs the query into a pipe and the pipe into the response, with backpressure all the way.
 *
 * @returns what sends the end of the response
 * @throws the engine's error; once rows are out it is the caller's to mark in the response
 */
export async function streamResult(options: ResultOptions, pipe: Pipe): Promise<() => void> {
  const { session, statement, running, answer, gone } = options;
  const format = statement.format ?? options.defaultFormat;
  const outcome = run(session, outfileSql(options, pipe.path), format);
  // Of a failed statement nothing more is wanted; it is awaited below, when the stream has ended in either way.
  outcome.then(
    () => pipe.written(),
    () => pipe.failed(),
  );
  const kill = killWhenGone(running, gone);
  try {
    let held: Buffer[] = [];
    let size = 0;
    for await (const chunk of untilClosed(pipe.stream)) {
      // A pipe without a reader would block the engine when it opens it: so what nobody wants is read, too.
      if (gone.aborted) continue;
      if (!answer.begun) {
        held.push(chunk);
        size += chunk.length;
        if (size < HELD_BYTES) continue;
        answer.begin(format, summaryOf(undefined, false));
      }
      const rows = held.length === 0 ? chunk : Buffer.concat(held);
      held = [];
      await answer.write(rows, gone).catch(() => undefined);
    }
    const result = await outcome.catch((error: unknown) => unrewritten(options, error));
    if (answer.begun) return () => answer.end();
    const rows = result.output.length > 0 ? result.output : Buffer.concat(held);
    return () => answer.whole(format, summaryOf(result, false), rows);
  } finally {
    kill.stop();
    await outcome.catch(() => undefined);
  }
}

/** The chunks of a stream until it ends or is destroyed. */
async function* untilClosed(stream: Readable): AsyncGenerator<Buffer> {
  try {
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    if (!stream.destroyed) throw error;
  }
}

/** Runs the query into a file first, and sends that: for `wait_end_of_query`, where an error must never come late. */
export async function sendWhole(options: ResultOptions, path: string): Promise<() => void> {
  const { session, statement, running, answer, gone } = options;
  const format = statement.format ?? options.defaultFormat;
  const kill = killWhenGone(running, gone);
  try {
    const result: Outcome = await run(session, outfileSql(options, path), format);
    answer.begin(format, summaryOf(result, false));
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) await answer.write(chunk, gone);
    return () => answer.end();
  } finally {
    kill.stop();
    rmSync(path, { force: true });
  }
}

/**
 * A statement that could not be parsed is run as its author wrote it, so that the error is about that text. Should the
 * engine accept it only so, its rows come in one piece.
 */
async function unrewritten(
  { session, statement, running, defaultFormat }: ResultOptions,
  error: unknown,
): Promise<Outcome> {
  if (asFrontError(error).type !== 'SYNTAX_ERROR') throw error;
  const format = statement.format === undefined ? '' : `format ${statement.format}`;
  return run(session, `${statement.body}${format}${statement.tail}\n${running.mark}`, defaultFormat);
}

// The engine is told the format twice: of SHOW, which it rewrites as a SELECT, it forgets the FORMAT clause.
function outfileSql({ statement, running, defaultFormat }: ResultOptions, path: string): string {
  const format = statement.format ?? defaultFormat;
  return `${statement.body}\n${running.mark} into outfile ${literal(path)} truncate format ${format} ${statement.tail}`;
}

/** Kills again and again: the engine may not have begun yet when the client goes. */
function killWhenGone(running: Running, gone: AbortSignal): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const kill = (): void => {
    running.cancel().catch(() => undefined);
    timer = setTimeout(kill, KILL_AGAIN_MS);
  };
  if (gone.aborted) kill();
  else gone.addEventListener('abort', kill, { once: true });
  return {
    stop: () => {
      clearTimeout(timer);
      gone.removeEventListener('abort', kill);
    },
  };
}
