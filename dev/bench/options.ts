import { resolve } from 'node:path';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { MESSAGE_FORMATS, PAYLOADS, type MessageFormat, type Payload } from '../../src/domain/route.js';
import { STATE_DIR } from './environment.js';

/** How the messages of a backlog are made: a name for the tables of the report, and the options of `add`. */
export interface BacklogMessages {
  readonly name: string;
  readonly format: MessageFormat;
  readonly payload: Payload;
}

const MESSAGES: readonly BacklogMessages[] = [
  { name: 'json', format: 'json', payload: 'row' },
  { name: 'packed', format: 'packed', payload: 'row' },
  { name: 'key', format: 'json', payload: 'key' },
];

/** What a run of the benchmarks was asked for. */
export interface BenchOptions {
  /** Names of scenarios, in the order of the registry. */
  readonly only: readonly string[];
  /** One scenario was named as an argument: its figures are at the top of the JSON. */
  readonly isSingle: boolean;
  /** Of the backlog, of the copied table, and of the small rows that memory is measured with. */
  readonly rows: number;
  /** Numbers of readers of the copy, each measured. */
  readonly readers: readonly number[];
  /** Of the messages of the backlog. */
  readonly messages: readonly BacklogMessages[];
  /** Beginnings of the names of ways, e.g. `outbox direct`; all of them where there are none. */
  readonly ways: readonly string[];
  /** How long each rate is measured; the other scenarios scale their short measurements with it. */
  readonly seconds: number;
  readonly json: boolean;
  /** Start workers with V8's CPU profiler, and say where their time goes. */
  readonly profile: boolean;
  /** Emptied at the start. */
  readonly stateDir: string;
}

interface Named {
  readonly name: string;
  readonly summary: string;
}

/**
 * @param argv as in `process.argv`, without the program and the script
 * @throws CommanderError after it has written why, also for `--help`
 */
export function readOptions(argv: readonly string[], scenarios: readonly Named[]): BenchOptions {
  const names = scenarios.map(({ name }) => name);
  const command = new Command('npm run bench --')
    .description(
      'Measures pg2click on a local stack of its own, each figure beside what the same servers do without it in the same run.',
    )
    .addOption(
      new Option('--only <names>', 'scenarios, separated by commas').argParser((text) => readNames(text, names)),
    )
    .addArgument(
      new Argument('[scenarios...]', 'which to run; with one of them, its figures are at the top of the JSON')
        .default([], 'all')
        .argParser((text: string, before: readonly string[]) => [...before, ...readNames(text, names)]),
    )
    .addOption(new Option('--rows <n>', 'rows of the backlog, and of the copy').default(500_000).argParser(readCount))
    .addOption(
      new Option('--readers <n,..>', 'of the copy: how many at once, one measurement each')
        .default([1], '1')
        .argParser((text) => text.split(',').map((each) => readCount(each.trim()))),
    )
    .addOption(
      new Option('--format <format>', 'of its messages (default: both, one after the other)').choices(MESSAGE_FORMATS),
    )
    .addOption(new Option('--payload <payload>', 'of its messages (default: both; key is json)').choices(PAYLOADS))
    .addOption(
      new Option('--ways <names>', 'of the scenario ways: beginnings of names, separated by commas')
        .default([], 'all')
        .argParser((text) => text.split(',').map((name) => name.trim())),
    )
    .addOption(new Option('--seconds <n>', 'of each rate that latency is measured at').default(20).argParser(readCount))
    .option('--profile', 'profile the workers, and show the functions that take most of their time', false)
    .addOption(new Option('--state-dir <folder>', 'where the servers and profiles are').default(STATE_DIR))
    .option('--json', 'tables on standard error, and one JSON object as the last line of standard output', false)
    .addHelpText(
      'after',
      `
Scenarios:
${scenarios.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join('\n')}

Examples:
  npm run bench
  npm run bench -- --only backlog,latency --rows 100000 --seconds 10
  npm run bench -- --only backlog --profile
  npm run bench -- copy --rows 5000000 --readers 1,2,4 --json
  npm run --silent bench -- --json | tail -1 > figures.json`,
    )
    .exitOverride();
  command.parse([...argv], { from: 'user' });
  const [first = []] = command.processedArgs as [(readonly string[])?];
  const named = first.length > 0 ? first : undefined;
  const {
    format,
    payload,
    only = named,
    ...given
  } = command.opts<
    Omit<BenchOptions, 'only' | 'messages'> & {
      readonly only?: readonly string[];
      readonly format?: MessageFormat;
      readonly payload?: Payload;
    }
  >();
  return {
    ...given,
    only: names.filter((name) => (only ?? names).includes(name)),
    isSingle: named?.length === 1 && only === named,
    messages: MESSAGES.filter(
      (each) => each.format === (format ?? each.format) && each.payload === (payload ?? each.payload),
    ),
    stateDir: resolve(given.stateDir),
  };
}

function readNames(text: string, names: readonly string[]): readonly string[] {
  const wanted = text.split(',').map((name) => name.trim());
  const strange = wanted.find((name) => !names.includes(name));
  if (strange !== undefined)
    throw new InvalidArgumentError(`There is no scenario "${strange}", only ${names.join(', ')}.`);
  return names.filter((name) => wanted.includes(name));
}

function readCount(text: string): number {
  const number = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('It must be a whole number above 0.');
  return number;
}
