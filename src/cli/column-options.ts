import { Option, type Command } from 'commander';
import { given } from '../domain/given.js';
import { POLICIES, type ColumnOptions, type Policy } from '../domain/replicated-table.js';
import { parseColumnNames, readChosenName, splitAssignment } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';

/** The options as they were written. */
export interface WrittenColumnOptions {
  readonly type?: readonly string[];
  readonly policy?: readonly string[];
  readonly codec?: readonly string[];
  readonly lowCardinality?: readonly string[];
  readonly excludeColumn?: readonly string[];
  readonly renameColumn?: readonly string[];
}

/** Adds the options that say what becomes of single columns. Each may be given several times. */
export function withColumnOptions(command: Command): Command {
  const options = [
    new Option('--type <column=type>', 'the ClickHouse type of a column, e.g. amount="Decimal(18, 4)"'),
    new Option(
      '--policy <column=policy>',
      `what happens to values that have no place in the ClickHouse type: ${POLICIES.join(', ')} (default: refuse); without a column, for all columns that have such values`,
    ),
    new Option('--codec <column=codec>', 'how a column is compressed in ClickHouse, e.g. amount="Delta, ZSTD(3)"'),
    new Option(
      '--low-cardinality <columns>',
      'texts of few distinct values, separated by commas: they are LowCardinality(String)',
    ),
    new Option('--exclude-column <columns>', 'columns that are not replicated, separated by commas'),
    new Option(
      '--rename-column <column=name>',
      'another name for a column in ClickHouse and in messages, as it is written: id=orderId',
    ),
  ];
  for (const option of options)
    command.addOption(
      option.argParser((written: string, before: readonly string[] | undefined) => [...(before ?? []), written]),
    );
  return command;
}

/** @throws Failure `Misconfigured` for what cannot be read */
export function columnOptionsOf(written: WrittenColumnOptions): ColumnOptions {
  const { type, policy, codec, lowCardinality, excludeColumn, renameColumn } = written;
  const common = policy?.filter((each) => isPolicy(each)).at(-1);
  const policies = policy?.filter((each) => !isPolicy(each));
  return given({
    types: assignmentsOf('--type', type),
    policies: assignmentsOf('--policy', policies, readPolicy),
    policy: common as Policy | undefined,
    codecs: assignmentsOf('--codec', codec, readCodec),
    lowCardinality: lowCardinality?.flatMap(parseColumnNames),
    excluded: excludeColumn?.flatMap(parseColumnNames),
    renamed: namesOf(renameColumn),
  });
}

/** A column has one name: unlike with a type, the last one given is hardly the one that is meant. */
function namesOf(written: readonly string[] | undefined): Readonly<Record<string, string>> | undefined {
  const names = new Map<string, string>();
  for (const each of written ?? []) {
    const [[column, name] = ['', '']] = Object.entries(assignmentsOf('--rename-column', [each], readChosenName) ?? {});
    const before = names.get(column) ?? name;
    if (before !== name)
      throw new Failure('Misconfigured', {
        message: `--rename-column gives column ${column} two names: ${before} and ${name}.`,
      });
    names.set(column, name);
  }
  return names.size === 0 ? undefined : Object.fromEntries(names);
}

function assignmentsOf<T extends string = string>(
  option: string,
  written: readonly string[] = [],
  read: (value: string) => T | undefined = (value) => value as T,
): Readonly<Record<string, T>> | undefined {
  if (written.length === 0) return undefined;
  const pairs = written.map((each) => {
    const found = splitAssignment(each);
    const value = found === undefined ? undefined : read(found.value);
    if (found !== undefined && value !== undefined) return [found.name, value] as const;
    throw new Failure('Misconfigured', { message: `"${option} ${each}" is not read: write ${option} COLUMN=VALUE.` });
  });
  return Object.fromEntries(pairs);
}

/** With or without `CODEC(..)` around it. */
function readCodec(text: string): string {
  return /^codec\((.*)\)$/isu.exec(text)?.[1] ?? text;
}

function isPolicy(text: string): text is Policy {
  return (POLICIES as readonly string[]).includes(text);
}

function readPolicy(text: string): Policy {
  if (isPolicy(text)) return text;
  throw new Failure('Misconfigured', {
    message: `There is no policy "${text}": choose one of ${POLICIES.join(', ')}.`,
  });
}
