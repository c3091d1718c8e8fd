import { chalkStderr } from 'chalk';
import { createPostgresPool, ledgerSettings } from '../connect/postgres.js';
import type { TableView } from '../control/table-view.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import { count, plural } from '../domain/figures.js';
import type { TableOptions } from '../domain/replicated-table.js';
import { sqlName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { exitOf, type Exit } from './exit-code.js';
import { openLiveText } from './live-text.js';
import { inTurns, type PlannedTable } from './plan-tables.js';
import { viewSource, type Servers } from './servers.js';
import type { Session } from './session.js';
import { startChecked } from './start-checked.js';
import { explain, followTable, lineOf } from './watch-table.js';

/** Tables in their first load at once: a worker makes four ready at a time, and copies as many. */
export const ADDED_AT_ONCE = 8;
/** Connections for looking: a look takes milliseconds. */
const LOOKS_AT_ONCE = 2;
/** Each look is a call of Temporal and a statement of PostgreSQL. */
const EVERY_MS = { first: 250, later: 1_000 };
/** A worker that a hundred new tables keep busy answers late: 15 s were too short on two busy cores. */
const SILENCE_MS = 60_000;

type Planned = Extract<PlannedTable, { action: 'add' }>;

export interface AddedTable {
  readonly planned: Planned;
  readonly exit: Exit;
  /** As it was when that was known; null where nobody looked. */
  readonly view: TableView | null;
  readonly failure: Failure | null;
}

export interface AddPlannedOptions {
  readonly options: TableOptions;
  readonly priority: CopyPriority | undefined;
  readonly follows: boolean;
}

/**
 * Starts the tables, a few at once, and follows each until it streams. One that fails does not hold up the others.
 * @param follows false: each is started and left to itself
 * @throws the session's signal's reason; those that were started go on by themselves
 */
export async function addPlanned(
  session: Session,
  servers: Servers,
  tables: readonly Planned[],
  { options, priority, follows }: AddPlannedOptions,
): Promise<readonly AddedTable[]> {
  const { signal } = session;
  const progress = openProgress(session, tables.length);
  // A client takes one statement at a time, and several tables are looked at at once.
  const pool = { max: LOOKS_AT_ONCE, name: 'cli' };
  const source = createPostgresPool(session.settings, pool);
  const ledger =
    session.settings.ledger === undefined ? source : createPostgresPool(ledgerSettings(session.settings), pool);
  const seenFrom = { ...viewSource(session, servers), source, ledger };
  let started = 0;
  const add = async (planned: Planned): Promise<AddedTable> => {
    const { name } = planned.table;
    const title = sqlName(name);
    const ends = { planned, view: null, failure: null };
    try {
      signal.throwIfAborted();
      await startChecked(session, servers, { name, options, priority, checked: planned.checked });
      started += 1;
      if (!follows) return { ...ends, exit: 'done' };
      const { end, view = null } = await followTable(seenFrom, name, {
        signal,
        everyMs: EVERY_MS,
        silenceMs: SILENCE_MS,
        onView: (seen) => progress.view(title, seen),
      });
      progress.end(title, end, (to) => explain(to, view ?? undefined, end, name));
      return { ...ends, exit: end, view };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      progress.end(title, 'failed', (to) => to.tell(`${chalkStderr.red('✖')} ${title}: ${error.message}`));
      return { ...ends, exit: exitOf(error), failure: error };
    }
  };
  try {
    return await inTurns(tables, { places: ADDED_AT_ONCE, signal }, add);
  } finally {
    progress.close();
    await Promise.all([...new Set([source, ledger])].map((each) => each.end()));
    if (signal.aborted)
      session.tell(
        `Interrupted: ${plural(started, 'table')} of ${count(tables.length)} started; they go on by themselves. The same command adds the others.`,
      );
  }
}

interface Progress {
  view(title: string, view: TableView | undefined): void;
  /** @param sayWhy writes what became of a table that does not stream */
  end(title: string, exit: Exit, sayWhy: (to: Session) => void): void;
  close(): void;
}

function openProgress(session: Session, total: number): Progress {
  const lines = new Map<string, string>();
  let done = 0;
  const live = session.json
    ? undefined
    : openLiveText(process.stderr, (frame) =>
        [`${chalkStderr.cyan(frame)} ${count(done)} of ${plural(total, 'table')}`, ...lines.values()].join('\n  '),
      );
  const write = (line: string): void => (live === undefined ? session.tell(line) : live.persist(line));
  return {
    view: (title, view) => void lines.set(title, lineOf(view, title)),
    end(title, exit, sayWhy) {
      lines.delete(title);
      done += 1;
      if (exit === 'done') write(`${chalkStderr.green('✔')} ${title} (${count(done)} of ${count(total)})`);
      else sayWhy({ ...session, tell: write });
    },
    close: () => live?.close(false),
  };
}
