import { setTimeout as sleep } from 'node:timers/promises';
import type { FailureView, TableView } from '../../src/control/table-view.js';
import { tableCommand } from '../../src/domain/table-command.js';
import { persist, type Scene } from './fault.js';
import { ask, firstLines } from './faults/operator.js';
import { stepsOf, type Step } from './remedy.js';
import { DEBEZIUM, type NightTable } from './table.js';
import { viewTables } from './view-tables.js';
import { optionsOf } from './ways.js';

const LOOK_EVERY_MS = 5_000;
/** What a remedy did is seen by then; after that it is tried again. */
const HEALS_MS = 60_000;
/** A person would give up too. */
const MOST_TRIES = 4;
const RETRY_EVERY_MS = 30_000;

/** A table that waited for a person, and what the person did. */
export interface Park {
  readonly table: NightTable;
  readonly at: Date;
  readonly kind: string;
  readonly message: string;
  readonly remedy: string;
  /** The fault that was meant to do it; undefined for a finding. */
  readonly explained: string | undefined;
  /** Commands, and how each ended. */
  readonly done: string[];
  tries: number;
  /** Seconds; undefined where it is parked still. */
  healedAfter: number | undefined;
}

/** Who is called at night: looks at the tables, and does what a failure says. */
export interface Attendant {
  readonly parks: readonly Park[];
  /** Whether no table is parked or paused, as of the last look. */
  isQuiet(): boolean;
  /** Of the last look: what is not well. */
  troubles(): readonly string[];
  stop(): Promise<void>;
}

export function startAttendant(scene: Scene): Attendant {
  const { ground, tables, journal } = scene;
  const stopping = new AbortController();
  const parks: Park[] = [];
  const retriedAt = new Map<NightTable, number>();
  let views: readonly TableView[] = [];

  const openPark = (table: NightTable): Park | undefined =>
    parks.find((park) => park.table === table && park.healedAfter === undefined);

  const attend = async (table: NightTable, failure: FailureView): Promise<void> => {
    let park = openPark(table);
    if (park === undefined) {
      const { expects } = table;
      park = {
        table,
        at: new Date(),
        kind: failure.kind,
        message: failure.message,
        remedy: failure.remedy,
        explained: expects !== undefined && Date.now() < expects.until ? expects.why : undefined,
        done: [],
        tries: 0,
        healedAfter: undefined,
      };
      parks.push(park);
      journal.say(
        `## ${table.name} (${table.title}; ${table.way}) is parked${park.explained === undefined ? '' : `, as expected (${park.explained})`}: ` +
          `${failure.task} ${failure.kind}: ${failure.message} -> ${failure.remedy}`,
      );
    }
    if (park.tries >= MOST_TRIES) return;
    park.tries += 1;
    for (const step of stepsOf(failure.remedy, waysOf(table))) {
      const said = await follow(scene, table, step);
      park.done.push(said);
      journal.say(`   ${said}`);
    }
  };

  /** Whose correction nobody sees: set aside again and again while a server was away, also after the fault has ended. */
  const retryRefused = async (table: NightTable, { quarantined }: TableView): Promise<void> => {
    const isDue = Date.now() - (retriedAt.get(table) ?? 0) > RETRY_EVERY_MS;
    if (quarantined === 0 || !table.appendOnly || table.hasRefused || table.busy || !isDue) return;
    retriedAt.set(table, Date.now());
    journal.say(`   ${await follow(scene, table, { pg2click: ['quarantine', 'retry', `public.${table.name}`] })}`);
  };

  const look = async (): Promise<void> => {
    views = await viewTables(ground);
    for (const table of tables) {
      const view = views.find((each) => each.table === `public.${table.name}`);
      if (view === undefined) continue;
      table.way = view.way ?? table.way;
      const park = openPark(table);
      const isParked = view.failure?.retrying === false;
      if (park !== undefined && !isParked && view.answering && view.phase !== 'unknown' && view.phase !== 'parked') {
        park.healedAfter = Math.round((Date.now() - park.at.getTime()) / 1_000);
        journal.say(`   ${table.name} goes on, ${park.healedAfter} s after it parked`);
      }
      await retryRefused(table, view);
      const waits = park !== undefined && Date.now() - park.at.getTime() < HEALS_MS * park.tries;
      if (!isParked || view.failure === null || table.busy || waits) continue;
      table.busy = true;
      try {
        await attend(table, view.failure);
      } finally {
        table.busy = false;
      }
    }
  };

  const running = (async () => {
    while (!stopping.signal.aborted) {
      // A server is away: nothing can be seen.
      await look().catch(() => undefined);
      await sleep(LOOK_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    parks,
    isQuiet: () => views.length > 0 && views.every(({ failure, phase }) => failure === null && phase === 'streaming'),
    troubles: () =>
      views
        .filter(({ failure, phase }) => failure !== null || phase !== 'streaming')
        .map(
          ({ table, phase, failure, doing }) =>
            `${table}: ${phase} ${failure?.kind ?? ''} ${failure?.message ?? doing ?? ''}`,
        ),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** The exit code of what is not replicated. */
const GONE = 5;

/** What a person says who is asked, or does not stay to watch. */
const ANSWERS: Readonly<Record<string, readonly string[]>> = { add: ['--no-wait'], remove: ['--yes'] };

function waysOf(table: NightTable): Parameters<typeof stepsOf>[1] {
  const topic = table.isForeign ? { topic: `${DEBEZIUM}.public.${table.name}` } : {};
  const command = tableCommand(
    'add',
    { schema: 'public', table: table.name },
    { ...optionsOf(table.choice), ...topic },
  );
  return { table: `public.${table.name}`, name: nextTarget(table), again: command.split(' ').slice(3) };
}

function nextTarget({ target }: NightTable): string {
  const [, base = target, number = '1'] = /^(.+?)(?:_again_(\d+))?$/u.exec(target) ?? [];
  return `${base}_again_${Number(number) + 1}`;
}

/** @returns the step and how it ended */
async function follow(scene: Scene, table: NightTable, step: Step): Promise<string> {
  if ('sql' in step) {
    await persist(async () => {
      const pg = await scene.ground.connect();
      try {
        await pg.query(step.sql);
      } finally {
        await pg.end();
      }
    });
    return `${step.sql}: done`;
  }
  const args = step.pg2click;
  const result = await ask(scene, ...args, ...(ANSWERS[args[0] ?? ''] ?? []));
  const target = args[0] === 'add' ? args[args.indexOf('--target') + 1] : undefined;
  if (target !== undefined && args.includes('--target')) table.target = target.split('.').at(-1) ?? target;
  // Accepted, and it waits for a worker: `add` would find the table there, and leave it alone.
  if (args[0] === 'remove' && result.code === 6)
    await persist(async () => {
      if ((await ask(scene, 'status', table.name)).code !== GONE) throw new Error(`${table.name} is being removed`);
    });
  const said = result.code === 0 || result.code === 6 ? '' : `: ${firstLines(result.text)}`;
  return `pg2click ${args.join(' ')} -> ${result.code}${said}`;
}
