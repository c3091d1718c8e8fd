import type pg from 'pg';
import type { Random } from '../../demo/random.js';
import { away, freeTable, persist, seconds, type Act, type Fault, type Scene } from '../fault.js';
import { isByEngine, type NightTable } from '../table.js';

/** A park that DDL was meant to cause comes with the next batch. */
const EXPECTED_MS = 180_000;

/** One thing that is done to one table by its owner, in a session of its own. */
function tableFault(
  name: string,
  summary: string,
  fits: (table: NightTable) => boolean,
  act: (
    scene: Scene,
    table: NightTable,
    random: Random,
  ) => { readonly title: string; readonly run: (pg: pg.Client) => Promise<void> } | undefined,
): Fault {
  return {
    name,
    summary,
    track: 'tables',
    draw(scene, random): Act | undefined {
      const table = freeTable(scene, random, fits);
      const drawn = table === undefined ? undefined : act(scene, table, random);
      if (table === undefined || drawn === undefined) return undefined;
      return {
        title: `${table.name} (${table.title}): ${drawn.title}`,
        table,
        run: () =>
          persist(async () => {
            const pg = await scene.ground.connect();
            try {
              await drawn.run(pg);
            } finally {
              await pg.end();
            }
          }),
      };
    },
  };
}

const longTransaction = tableFault(
  'long-transaction',
  'a transaction that holds xmin and a row',
  () => true,
  (scene, table, random) => {
    const open = seconds(random, 20, 40);
    return {
      title: `a transaction with a row stays open for ${open} s`,
      async run(pg) {
        await pg.query('begin isolation level repeatable read');
        await pg.query(insertOne(table));
        await away(scene, open);
        await pg.query('commit');
      },
    };
  },
);

const lockTable = tableFault(
  'lock-table',
  'ACCESS EXCLUSIVE on a table',
  () => true,
  (scene, table, random) => {
    const held = seconds(random, 10, 25);
    return {
      title: `locked in ACCESS EXCLUSIVE MODE for ${held} s`,
      async run(pg) {
        await pg.query('begin');
        await pg.query(`lock table ${table.name} in access exclusive mode`);
        await away(scene, held);
        await pg.query('rollback');
      },
    };
  },
);

/** A log is compared with an audit, which costs its writers a row each. */
const LARGE = { rows: 200_000, logRows: 20_000 };

const largeTransaction = tableFault(
  'large-transaction',
  `a transaction of ${LARGE.rows} rows`,
  () => true,
  (_scene, table) => {
    const rows = table.isLog ? LARGE.logRows : LARGE.rows;
    return {
      title: `a transaction of ${rows} rows${table.appendOnly ? '' : ', and one that deletes them'}`,
      async run(pg) {
        await pg.query(
          table.isLog
            ? `insert into ${table.name} select i, 1, 'large' from generate_series(-${rows}, -1) i on conflict do nothing`
            : `insert into ${table.name} (n, word, at) select i, 'large', now() from generate_series(1, ${rows}) i`,
        );
        if (!table.appendOnly)
          await pg.query(`delete from ${table.name} where ${table.isLog ? 'text' : 'word'} = 'large'`);
      },
    };
  },
);

const TYPES = ['text', 'integer default 7', 'numeric(10, 2)', 'boolean not null default false', 'timestamptz'] as const;

const addColumn = tableFault(
  'add-column',
  'ALTER TABLE .. ADD COLUMN',
  (table) => canAlter(table) && table.extras.length < 6,
  (_scene, table, random) => {
    const type = random.pick(TYPES);
    const column = `extra_${table.extras.length + 1}_${random.below(1_000)}`;
    return {
      title: `add column ${column} ${type}`,
      async run(pg) {
        expectByEngine(table, 'its columns were changed');
        await alter(pg, `alter table ${table.name} add column if not exists ${column} ${type}`);
        if (!table.extras.includes(column)) table.extras.push(column);
      },
    };
  },
);

const renameColumn = tableFault(
  'rename-column',
  'ALTER TABLE .. RENAME COLUMN, of one that was added',
  (table) => canAlter(table) && hasView(table) && table.extras.length > 0,
  (_scene, table, random) => {
    const [column, name] = [table.extras.at(-1) ?? '', `renamed_${random.below(10_000)}`];
    return {
      title: `rename column ${column} to ${name}`,
      async run(pg) {
        expectByEngine(table, 'its columns were changed');
        if (table.extras.at(-1) === name) return;
        await alter(pg, `alter table ${table.name} rename column ${column} to ${name}`);
        table.extras.splice(-1, 1, name);
      },
    };
  },
);

const dropColumn = tableFault(
  'drop-column',
  'ALTER TABLE .. DROP COLUMN, of one that was added',
  (table) => canAlter(table) && hasView(table) && table.extras.length > 0,
  (_scene, table) => {
    const column = table.extras.at(-1) ?? '';
    return {
      title: `drop column ${column}`,
      async run(pg) {
        expectByEngine(table, 'its columns were changed');
        await alter(pg, `alter table ${table.name} drop column if exists ${column}`);
        if (table.extras.at(-1) === column) table.extras.pop();
      },
    };
  },
);

const widen = tableFault(
  'widen-column',
  'ALTER TABLE .. ALTER TYPE, from integer to bigint',
  canAlter,
  (_scene, table) => ({
    title: 'n becomes a bigint',
    async run(pg) {
      expectByEngine(table, 'its columns were changed');
      if (table.appendOnly) expect(table, 'rows of a table that only grows are not read again');
      await alter(pg, `alter table ${table.name} alter column n type bigint`);
    },
  }),
);

export const SOURCE_FAULTS: readonly Fault[] = [
  longTransaction,
  lockTable,
  largeTransaction,
  addColumn,
  renameColumn,
  dropColumn,
  widen,
];

/** Debezium tells nobody of changed columns but in its messages. */
function canAlter({ isForeign, isLog }: NightTable): boolean {
  return !isForeign && !isLog;
}

/** Without one a renamed column keeps its name in ClickHouse, as it should, and is not comparable. */
function hasView({ choice }: NightTable): boolean {
  return choice.engine === 'replacing';
}

function expectByEngine(table: NightTable, why: string): void {
  if (isByEngine(table)) expect(table, `${why}, and the Kafka engine does not follow`);
}

function expect(table: NightTable, why: string): void {
  table.expects = { until: Date.now() + EXPECTED_MS, why };
}

/** As the page on changes of columns asks for: writers do not wait behind it for long. */
async function alter(pg: pg.Client, statement: string): Promise<void> {
  await pg.query(`set lock_timeout = '3s'`);
  await pg.query(statement);
}

function insertOne({ name, isLog }: NightTable): string {
  return isLog
    ? `insert into ${name} select coalesce(min(id), 0) - 1, 0, 'late' from ${name}`
    : `insert into ${name} (n, word, at) values (0, 'late', now())`;
}
