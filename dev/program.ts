import { CommanderError } from 'commander';
import { Failure } from '../src/failure/failure.js';

const INTERRUPTED = 130;

/**
 * A program of this folder. Ctrl-C stops what it started; a second one does not wait for that.
 * @param parse throws CommanderError where it has said all there is to say
 * @param run returns the exit code
 * @returns the exit code: 1 after an error, 130 after Ctrl-C
 */
export async function runProgram<Options>(
  parse: () => Options,
  run: (options: Options, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  let options: Options;
  try {
    options = parse();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(INTERRUPTED);
    process.stderr.write('stopping what was started; once more to leave at once\n');
    stop.abort(new Error('interrupted'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  try {
    return await run(options, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return INTERRUPTED;
    const text = error instanceof Failure ? error.message : error instanceof Error ? error.stack : String(error);
    process.stderr.write(`error: ${text}\n`);
    return 1;
  }
}
