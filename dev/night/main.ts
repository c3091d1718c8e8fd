import { runProgram } from '../program.js';
import { FAULTS } from './faults.js';
import { openJournal } from './journal.js';
import { runNight } from './night.js';
import { readOptions } from './options.js';
import { summaryLines } from './summary.js';

process.exitCode = await runProgram(
  () => readOptions(process.argv.slice(2), FAULTS),
  async (options, signal) => {
    const out = options.json ? process.stderr : process.stdout;
    const journal = openJournal(out, options.stateDir);
    const summary = await runNight(options, journal, signal);
    for (const line of summaryLines(summary)) out.write(`${line}\n`);
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    return summary.isEqual ? 0 : 1;
  },
);
