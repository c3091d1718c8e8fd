import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { fillGates, GATE_COUNT } from './gates.js';
import { NOTE_COLUMNS, NOTES_SQL, noteKey, noteOf, STATUSES, TEXTS } from './notes.js';
import type { Random } from './random.js';

/** One connection of the live writer, and what it may write to. */
export interface WriterContext {
  readonly pg: Client;
  readonly random: Random;
  /** Flights have ids from 1 to about here. */
  readonly flights: number;
  /** Notes have numbers from 0 to about here. */
  readonly notes: number;
}

/** What happens inside one transaction. @returns rows changed, as PostgreSQL counted them */
export interface TransactionKind {
  readonly name: string;
  /** How often, against the sum of all. */
  readonly weight: number;
  readonly ending: 'commit' | 'rollback';
  run(context: WriterContext): Promise<number>;
}

/** A fifth of all picks meet in a handful of rows: writers wait for each other there, and one key changes many times. */
const HOT_ROWS = 40;

const flightId = ({ random, flights }: WriterContext): number =>
  1 + random.below(random.below(5) === 0 ? HOT_ROWS : flights);
const noteNumber = ({ random, notes }: WriterContext): number => random.below(random.below(5) === 0 ? HOT_ROWS : notes);

async function change(context: WriterContext, sql: string, values: readonly unknown[] = []): Promise<number> {
  return (await context.pg.query(sql, [...values])).rowCount ?? 0;
}

const insertFlights = (context: WriterContext): Promise<number> =>
  change(
    context,
    /* sql */ `insert into flights (delay, distance, time) select n, $2::int, $2::int / 7.0 from generate_series(1, $1::int) n`,
    [1 + context.random.below(20), context.random.below(3_000)],
  );

const updateFlights = (context: WriterContext): Promise<number> => {
  const id = flightId(context);
  return change(
    context,
    /* sql */ `update flights set delay = delay + 1, time = $3::int / 3.0 where id between $1::bigint and $2::bigint`,
    [id, id + context.random.below(20), context.random.below(72)],
  );
};

const deleteFlights = (context: WriterContext): Promise<number> => {
  const id = flightId(context);
  return change(context, /* sql */ `delete from flights where id between $1::bigint and $2::bigint`, [
    id,
    id + context.random.below(4),
  ]);
};

/** Brings back what was deleted, or changes it: the same key dead and alive again. */
const upsertFlights = (context: WriterContext): Promise<number> => {
  const id = flightId(context);
  return change(
    context,
    /* sql */ `
      insert into flights select n, 0, $3::int, 0.1 from generate_series($1::bigint, $2::bigint) n
      on conflict (id) do update set delay = flights.delay - 1, time = excluded.time`,
    [id, id + context.random.below(6), context.random.below(3_000)],
  );
};

/** There and, at another time, back: the key of one becomes the key of another. */
const moveFlights = (context: WriterContext): Promise<number> => {
  const id = flightId(context);
  return change(
    context,
    /* sql */ `
      update flights set id = -id
      where id between $1::bigint and $2::bigint or id between -($2::bigint) and -($1::bigint)`,
    [id, id + context.random.below(3)],
  );
};

const PLACES = NOTE_COLUMNS.map((_column, index) => `$${index + 1}`).join(', ');
const VALUE_COLUMNS = NOTE_COLUMNS.slice(2);

/** A new note, or one with other values, NULLs and empty texts among them. */
const upsertNote = (context: WriterContext): Promise<number> => {
  const number =
    context.random.below(3) === 0 ? context.notes + context.random.below(context.notes + 1) : noteNumber(context);
  return change(
    context,
    /* sql */ `
      insert into ${NOTES_SQL} (${NOTE_COLUMNS.join(', ')}) values (${PLACES})
      on conflict ("Route", "flight no.") do update
      set ${VALUE_COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}`,
    noteOf(number, context.random.below(1_000)),
  );
};

const updateNotes = (context: WriterContext): Promise<number> =>
  change(
    context,
    /* sql */ `
      update ${NOTES_SQL} set remark = $2, status = $3, fare = fare + 0.01, cancelled = not cancelled
      where "Route" = $1 and "flight no." like $4`,
    [
      noteKey(noteNumber(context))[0],
      context.random.below(4) === 0 ? null : context.random.pick(TEXTS),
      context.random.pick(STATUSES as readonly string[] as readonly [string]),
      `%${context.random.below(10)}`,
    ],
  );

const deleteNote = (context: WriterContext): Promise<number> =>
  change(context, /* sql */ `delete from ${NOTES_SQL} where "Route" = $1 and "flight no." = $2`, [
    ...noteKey(noteNumber(context)),
  ]);

const moveNote = (context: WriterContext): Promise<number> => {
  const [route, number] = noteKey(noteNumber(context));
  return change(context, /* sql */ `update ${NOTES_SQL} set "Route" = $3 where "Route" = $1 and "flight no." = $2`, [
    route,
    number,
    noteKey(noteNumber(context))[0],
  ]);
};

const updateGates = (context: WriterContext): Promise<number> =>
  change(
    context,
    /* sql */ `update gates set shows = $2, since = clock_timestamp() where gate between $1::int and $1::int + 3`,
    [1 + context.random.below(GATE_COUNT), context.random.pick(TEXTS)],
  );

const emptyGates = async (context: WriterContext): Promise<number> => {
  await context.pg.query(/* sql */ `truncate gates`);
  return 1 + (await change(context, fillGates));
};

const series =
  (...works: readonly TransactionKind['run'][]): TransactionKind['run'] =>
  async (context) => {
    let changed = 0;
    for (const work of works) changed += await work(context);
    return changed;
  };

/** Part of it is undone: events of the undone part must not come out, those around it must. */
const partlyUndone = async (context: WriterContext): Promise<number> => {
  const kept = await insertFlights(context);
  await context.pg.query(/* sql */ `savepoint before`);
  await series(deleteFlights, updateNotes)(context);
  await context.pg.query(/* sql */ `rollback to savepoint before`);
  return kept + (await updateFlights(context));
};

export const TRANSACTION_KINDS: readonly TransactionKind[] = [
  { name: 'insert', weight: 20, ending: 'commit', run: insertFlights },
  { name: 'update', weight: 20, ending: 'commit', run: updateFlights },
  { name: 'delete', weight: 8, ending: 'commit', run: deleteFlights },
  { name: 'upsert', weight: 8, ending: 'commit', run: upsertFlights },
  { name: 'key change', weight: 6, ending: 'commit', run: moveFlights },
  { name: 'note', weight: 10, ending: 'commit', run: upsertNote },
  { name: 'notes', weight: 6, ending: 'commit', run: updateNotes },
  { name: 'note deleted', weight: 3, ending: 'commit', run: deleteNote },
  { name: 'note moved', weight: 3, ending: 'commit', run: moveNote },
  { name: 'gates', weight: 4, ending: 'commit', run: updateGates },
  { name: 'gates emptied', weight: 1, ending: 'commit', run: emptyGates },
  { name: 'savepoint', weight: 4, ending: 'commit', run: partlyUndone },
  {
    name: 'same rows again',
    weight: 4,
    ending: 'commit',
    run: series(upsertFlights, moveFlights, deleteFlights, upsertFlights, upsertNote, moveNote),
  },
  { name: 'undone', weight: 4, ending: 'rollback', run: series(insertFlights, updateFlights, deleteNote) },
  { name: 'gates emptied, undone', weight: 1, ending: 'rollback', run: series(updateGates, emptyGates) },
];

/** Commits late: rows with lower numbers than others that are visible already. */
const insertSlowly = async (context: WriterContext): Promise<number> => {
  const inserted = await insertFlights(context);
  await sleep(context.random.below(1_500));
  return inserted;
};

/** The numbers of the undone part never come. */
const partlyInserted = async (context: WriterContext): Promise<number> => {
  const kept = await insertFlights(context);
  await context.pg.query(/* sql */ `savepoint before`);
  await insertFlights(context);
  await context.pg.query(/* sql */ `rollback to savepoint before`);
  return kept + (await insertFlights(context));
};

/** For a table that only grows. */
export const APPEND_KINDS: readonly TransactionKind[] = [
  { name: 'insert', weight: 20, ending: 'commit', run: insertFlights },
  { name: 'slow insert', weight: 2, ending: 'commit', run: insertSlowly },
  { name: 'savepoint', weight: 4, ending: 'commit', run: partlyInserted },
  { name: 'undone', weight: 3, ending: 'rollback', run: insertFlights },
];
