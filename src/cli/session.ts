import { chalkStderr } from 'chalk';
import type { Command } from 'commander';
import { Failure } from '../failure/failure.js';
import { remedyOf } from '../failure/kinds.js';
import { describeError } from '../observe/describe-error.js';
import type { Settings } from '../settings/settings.js';
import { exitCode, exitOf, type Exit } from './exit-code.js';

/** What every command may use. Results go to standard output; everything else to standard error. */
export interface Session {
  readonly settings: Settings;
  readonly json: boolean;
  /** Aborted by Ctrl-C and SIGTERM: what waits ends, what is open is closed. */
  readonly signal: AbortSignal;
  /** A line of the result. */
  print(line: string): void;
  /** A line beside the result: progress, advice. Not with --json. */
  tell(line: string): void;
  /** The same with --json too: what a command waits for that would otherwise be silent for long. */
  warn(line: string): void;
}

export interface GlobalOptions {
  readonly settings?: string;
  /** false with --no-env-file, true when nothing is said of it. */
  readonly envFile?: string | boolean;
  readonly json?: boolean;
}

export interface SessionOptions {
  /** The command ends on signals by itself, or by what it calls. */
  readonly ownSignals?: boolean;
  /** Looks for the addresses of a running local stack. Default true. */
  readonly readsStack?: boolean;
  /** Reads nothing at all: not the environment, not `.env`, not a stack. */
  readonly isolated?: boolean;
}

/**
 * Runs a command: reads the settings, ends on Ctrl-C, and turns whatever is thrown into one sentence and an exit code.
 * @param body returns how it ended
 */
export async function runCommand(
  command: Command,
  body: (session: Session) => Promise<Exit>,
  options: SessionOptions = {},
): Promise<void> {
  const { json = false, ...global } = command.optsWithGlobals<GlobalOptions>();
  const envFile = envFileOf(global);
  const stop = new AbortController();
  const onSignal = (): void => {
    // The second one is meant.
    if (stop.signal.aborted) process.exit(exitCode('interrupted'));
    stop.abort(new Interrupted());
  };
  const signals = options.ownSignals === true ? [] : (['SIGINT', 'SIGTERM'] as const);
  for (const signal of signals) process.on(signal, onSignal);
  let debug = process.env['PG2CLICK_DEBUG'] === '1';
  try {
    // Here, not above: help and usage errors need none of it, and come at once.
    const { loadSettings } = await import('../settings/settings.js');
    const settings =
      options.isolated === true
        ? loadSettings({ env: {}, envFile: false, stackFile: false })
        : loadSettings({ envFile, ...(options.readsStack === false ? { stackFile: false } : {}) });
    debug ||= settings.debug;
    for (const warning of settings.warnings) process.stderr.write(`${chalkStderr.yellow('warning:')} ${warning}\n`);
    const exit = await body({
      settings,
      json,
      signal: stop.signal,
      print: (line) => void process.stdout.write(`${line}\n`),
      tell: (line) => {
        if (!json) process.stderr.write(`${line}\n`);
      },
      warn: (line) => void process.stderr.write(`${line}\n`),
    });
    end(exitCode(exit));
  } catch (error) {
    if (stop.signal.aborted) return end(exitCode('interrupted'));
    report(error, { json, debug });
    end(exitCode(exitOf(error)));
  } finally {
    for (const signal of signals) process.removeListener(signal, onSignal);
  }
}

/**
 * The action of a command whose code is loaded only when it runs: `--help` needs none of it.
 * @param load returns what runs: it gets the session, then the command's arguments, then its options
 */
export function lazily<Args extends readonly unknown[]>(
  load: () => Promise<(session: Session, ...args: Args) => Promise<Exit>>,
): (...given: [...Args, Command]) => Promise<void> {
  return (...given) => {
    const args = given.slice(0, -1) as unknown as Args;
    return runCommand(given.at(-1) as Command, async (session) => (await load())(session, ...args));
  };
}

/** @returns a file's name, false for none at all, undefined for `.env` if it is there */
export function envFileOf({ settings, envFile }: GlobalOptions): string | false | undefined {
  return settings ?? (envFile === true ? undefined : envFile);
}

/** Why a command that was interrupted stopped. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

/** Everything is closed by now; a socket of some library that is not must not keep the shell waiting. */
function end(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(), 1_000).unref();
}

function report(error: unknown, { json, debug }: { json: boolean; debug: boolean }): void {
  const { kind, message, remedy } = explain(error);
  process.stderr.write(`${chalkStderr.red('error:')} ${message}\n${remedy === undefined ? '' : `  ${remedy}\n`}`);
  if (debug && error instanceof Error) process.stderr.write(`${JSON.stringify(describeError(error), null, 2)}\n`);
  if (json) printError({ kind, message, remedy });
}

interface Explained {
  readonly kind: string;
  readonly message: string;
  readonly remedy: string | undefined;
}

/** The result, with --json, of a command that failed. */
export function printError({ kind, message, remedy }: Explained): void {
  process.stdout.write(`${JSON.stringify({ error: { kind, message, remedy: remedy ?? null } })}\n`);
}

function explain(error: unknown): Explained {
  if (error instanceof Failure) return { kind: error.kind, message: error.message, remedy: remedyOf(error) };
  const { name, code, message } =
    error instanceof Error ? describeError(error) : { name: 'something that is no error' };
  const told = [name, code, message].filter((part) => part !== undefined).join(' ');
  const remedy = 'Set PG2CLICK_DEBUG=1 to see where; please report it.';
  return { kind: 'Unexpected', message: `This should not happen: ${told}`, remedy };
}
