import { APPEND_ONLY_CAPTURES } from '../../../src/domain/route.js';
import type { CommandResult } from '../ground.js';
import { away, freeTable, persist, seconds, type Act, type Fault, type Scene } from '../fault.js';
import { isByEngine, type NightTable } from '../table.js';
import { titleOf, workingChoices } from '../ways.js';

/** A server cannot be reached: what was asked for is asked for again. */
const UNREACHABLE = 3;

/** @returns how it ended, once the servers that it needs were there */
export async function ask({ ground }: Pick<Scene, 'ground'>, ...args: readonly string[]): Promise<CommandResult> {
  return persist(async () => {
    const result = await ground.cli(...args);
    if (result.code === UNREACHABLE || result.code === null) throw new Error(result.text);
    return result;
  });
}

/** What is refused is said, with the sentence that a person reads. */
async function tell(scene: Scene, ...args: readonly string[]): Promise<CommandResult> {
  const result = await ask(scene, ...args);
  if (result.code !== 0 && result.code !== 6)
    scene.journal.say(`   pg2click ${args.join(' ')} ended with ${result.code}: ${firstLines(result.text)}`);
  return result;
}

function commandFault(
  name: string,
  summary: string,
  fits: (table: NightTable) => boolean,
  argsOf: (table: NightTable) => readonly string[],
): Fault {
  return {
    name,
    summary,
    track: 'tables',
    draw(scene, random): Act | undefined {
      const table = freeTable(scene, random, fits);
      if (table === undefined) return undefined;
      const args = argsOf(table);
      return {
        title: `${table.name} (${table.title}): pg2click ${args.join(' ')}`,
        table,
        async run() {
          await tell(scene, ...args);
        },
      };
    },
  };
}

const pause: Fault = {
  name: 'pause',
  summary: 'pg2click pause, and resume',
  track: 'tables',
  draw(scene, random) {
    const table = freeTable(scene, random);
    if (table === undefined) return undefined;
    const paused = seconds(random, 10, 30);
    return {
      title: `${table.name} (${table.title}): paused for ${paused} s`,
      table,
      async run() {
        await tell(scene, 'pause', table.name, '--reason', 'of the night');
        await away(scene, paused);
        await tell(scene, 'resume', table.name);
      },
    };
  },
};

const configure: Fault = {
  name: 'configure',
  summary: 'pg2click configure: another way, while it runs',
  track: 'tables',
  draw(scene, random) {
    const table = freeTable(scene, random, ({ isForeign, isLog }) => !isForeign && !isLog);
    if (table === undefined) return undefined;
    const { engine, loader } = table.choice;
    const choices = workingChoices().filter(
      (choice) =>
        choice.engine === engine &&
        choice.loader === loader &&
        choice.capture !== 'debezium' &&
        (table.appendOnly || !APPEND_ONLY_CAPTURES.includes(choice.capture)),
    );
    const choice = choices[random.below(choices.length)];
    if (choice === undefined) return undefined;
    const { capture, transport, payload, format } = choice;
    const messages = transport === 'kafka' ? ['--payload', payload, '--format', format] : [];
    const growing = APPEND_ONLY_CAPTURES.includes(capture) ? ['--append-only'] : [];
    const args = ['configure', table.name, '--capture', capture, '--transport', transport, ...messages, ...growing];
    return {
      title: `${table.name} (${table.title}): configured to ${titleOf(choice)}`,
      table,
      async run() {
        await tell(scene, ...args, '--no-wait');
      },
    };
  },
};

/** `infinity` has no place in a DateTime64. */
const refusedRow: Fault = {
  name: 'refused-row',
  summary: 'rows that ClickHouse refuses, and their correction',
  track: 'tables',
  draw(scene, random) {
    const table = freeTable(
      scene,
      random,
      (each) => !each.isLog && !each.hasRefused && !(isByEngine(each) && (each.appendOnly || each.isForeign)),
    );
    if (table === undefined) return undefined;
    const lasting = seconds(random, 10, 40);
    const { name, appendOnly } = table;
    return {
      title: `${name} (${table.title}): rows that ClickHouse refuses, corrected after ${lasting} s`,
      table,
      async run() {
        table.hasRefused = true;
        await query(
          scene,
          `insert into ${name} (n, word, at) select n, 'refused', 'infinity' from generate_series(1, 3) n`,
        );
        await away(scene, lasting);
        await query(scene, `update ${name} set at = now() where at = 'infinity'`);
        // Nobody sees the update of a table that only grows: its rows are read again, once they are set aside.
        if (appendOnly) await away(scene, 5);
        if (appendOnly) await tell(scene, 'quarantine', 'retry', name);
        table.hasRefused = false;
      },
    };
  },
};

async function query({ ground }: Scene, statement: string): Promise<void> {
  await persist(async () => {
    const pg = await ground.connect();
    try {
      await pg.query(statement);
    } finally {
      await pg.end();
    }
  });
}

/** The first sentences of what a command said. */
export function firstLines(text: string): string {
  return text.split('\n').slice(0, 3).join(' / ').slice(0, 400);
}

/** The rows of a table that only grows, and of a log, are not read again. */
const canBeReadAgain = ({ isLog, appendOnly }: NightTable): boolean => !isLog && !appendOnly;

export const OPERATOR_FAULTS: readonly Fault[] = [
  pause,
  configure,
  refusedRow,
  commandFault('resync', 'pg2click resync', canBeReadAgain, ({ name }) => ['resync', name, '--no-wait']),
  commandFault('backfill', 'pg2click backfill --prune', canBeReadAgain, ({ name }) => [
    'backfill',
    name,
    '--prune',
    '--no-wait',
  ]),
  commandFault(
    'replay',
    'pg2click replay --from beginning, into the live table',
    ({ choice, isLog }) => choice.transport === 'kafka' && !isLog,
    ({ name }) => ['replay', name, '--from', 'beginning', '--no-wait'],
  ),
];
