import { CommanderError } from 'commander';
import { Failure } from '../../src/failure/failure.js';
import { FAULTS } from './faults.js';
import { openJournal } from './journal.js';
import { runNight } from './night.js';
import { readOptions, type NightOptions } from './options.js';
import { summaryLines } from './summary.js';

const INTERRUPTED = 130;

process.exitCode = await main();

async function main(): Promise<number> {
  let options: NightOptions;
  try {
    options = readOptions(process.argv.slice(2), FAULTS);
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
  const out = options.json ? process.stderr : process.stdout;
  try {
    const journal = openJournal(out, options.stateDir);
    const summary = await runNight(options, journal, stop.signal);
    for (const line of summaryLines(summary)) out.write(`${line}\n`);
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    return summary.isEqual ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) return INTERRUPTED;
    const text = error instanceof Failure ? error.message : error instanceof Error ? error.stack : String(error);
    process.stderr.write(`error: ${text}\n`);
    return 1;
  }
}
