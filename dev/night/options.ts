import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { STATE_DIR } from './state-dir.js';

/** What a night was asked for. */
export interface NightOptions {
  readonly minutes: number;
  /** Every draw of a night comes from it. What the faults meet is in the hands of the machine. */
  readonly seed: number;
  /** Texts that the title of a way has in it, e.g. `wal direct`; all ways where there are none. */
  readonly only: readonly string[];
  /** Names of faults; all where there are none. */
  readonly faults: readonly string[];
  /** Transactions a second of one table, on average. */
  readonly rate: number;
  readonly json: boolean;
  readonly stateDir: string;
}

/**
 * @param argv as in `process.argv`, without the program and the script
 * @throws CommanderError after it has written why, also for `--help`
 */
export function readOptions(
  argv: readonly string[],
  faults: readonly { name: string; summary: string }[],
): NightOptions {
  const names = faults.map(({ name }) => name);
  const command = new Command('npm run night --')
    .description(
      'Every way of a row at once on a local stack of its own, while a workload writes and faults are drawn at random. At the end every ' +
        'row of every table is compared.',
    )
    .addOption(new Option('--minutes <n>', 'of writing and faults').default(60).argParser(readAmount))
    .addOption(new Option('--seed <n>', 'of all that is drawn').default(1).argParser(readWhole))
    .addOption(
      new Option('--only <ways>', 'parts of the titles of ways, separated by commas: "wal direct,packed"')
        .default([], 'all ways')
        .argParser(readList),
    )
    .addOption(
      new Option('--faults <names>', 'separated by commas; none: a quiet night')
        .default([], 'all')
        .argParser((text) => readNames(text, names)),
    )
    .addOption(new Option('--rate <n>', 'transactions a second of each table').default(0.5).argParser(readAmount))
    .addOption(new Option('--state-dir <folder>', 'where servers, logs and metrics are').default(STATE_DIR))
    .option('--json', 'the story on standard error, and one JSON object on standard output', false)
    .addHelpText(
      'after',
      `
Faults:
${faults.map(({ name, summary }) => `  ${name.padEnd(20)}${summary}`).join('\n')}

Examples:
  npm run night
  npm run night -- --minutes 3 --seed 7 --only "outbox kafka,wal direct"
  npm run night -- --minutes 5 --faults kill-worker,freeze-worker

Ends with 0 where all tables are equal, with 1 where one is not.`,
    )
    .exitOverride();
  command.parse([...argv], { from: 'user' });
  const given = command.opts<NightOptions>();
  return { ...given, stateDir: resolve(given.stateDir) };
}

function readList(text: string): readonly string[] {
  return text.split(',').map((each) => each.trim());
}

function readNames(text: string, names: readonly string[]): readonly string[] {
  const wanted = readList(text);
  const strange = wanted.find((name) => name !== 'none' && !names.includes(name));
  if (strange !== undefined) throw new InvalidArgumentError(`There is no fault "${strange}": see --help.`);
  return wanted;
}

function readAmount(text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

function readWhole(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new InvalidArgumentError('It must be a whole number.');
  return number;
}
