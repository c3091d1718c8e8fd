import type { ClientBase } from 'pg';
import { percentile } from '../demo/percentile.js';
import { outboxTable } from '../../src/source/outbox/names.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { capture } from './captured.js';
import { createOrders, insertOrders } from './orders.js';
import type { Report, Scenario } from './scenario.js';
import type { BenchEnvironment } from './environment.js';
import { percent } from './table.js';
import { coreSeconds } from './usage.js';

const ROUNDS = 4;
const OUTBOX_ID = '900002';
/** Without triggers, and with those of the outbox. */
const TABLES = { plain: 'trigger_none', captured: 'trigger_outbox' } as const;
type Variant = keyof typeof TABLES;

interface Work {
  readonly what: 'insert' | 'update' | 'delete';
  readonly batch: number;
  readonly writers: number;
}

const WORKS: readonly Work[] = [
  ...[1, 8].flatMap((writers) => [1, 100, 1_000].map((batch) => ({ what: 'insert' as const, batch, writers }))),
  { what: 'update', batch: 1_000, writers: 1 },
  { what: 'delete', batch: 1_000, writers: 1 },
];

/** One turn of one variant. */
interface Turn {
  readonly rows: number;
  readonly seconds: number;
  /** Of PostgreSQL. */
  readonly coreSeconds: number;
  readonly walBytes: number;
}

interface Cost {
  readonly rowsPerSecond: number;
  /** Of a writer's time, and of PostgreSQL's cores. */
  readonly microsPerRow: number;
  readonly coreMicrosPerRow: number;
  readonly walBytesPerRow: number;
}

interface WorkResult extends Work {
  readonly plain: Cost;
  readonly captured: Cost;
}

/** The writers' table is written with and without the triggers in turn: the speed of a disk changes within seconds. */
export const triggerCost: Scenario = {
  name: 'trigger',
  summary: 'what the outbox triggers cost those who write, in batches of 1, 100 and 1,000, with 1 and 8 writers',
  async run({ environment, options, report }) {
    const { postgres } = environment;
    await createOrders(postgres, TABLES.plain);
    await createOrders(postgres, TABLES.captured);
    const table = await capture(postgres, TABLES.captured, OUTBOX_ID);
    // Right after a checkpoint, every page goes into the WAL whole: those of both variants once, early.
    await postgres.query('checkpoint');
    const results: WorkResult[] = [];
    for (const work of WORKS) {
      report(`${work.what}, batches of ${work.batch}, ${work.writers} writers`);
      results.push(await compare(environment, work, turnSeconds(options.seconds)));
    }
    await removeOutbox(postgres, table);
    await postgres.query(/* sql */ `drop table ${TABLES.plain}, ${TABLES.captured}`);
    return composeReport(results, turnSeconds(options.seconds));
  },
};

function turnSeconds(seconds: number): number {
  return Math.max(0.05, seconds / 40);
}

async function compare(environment: BenchEnvironment, work: Work, seconds: number): Promise<WorkResult> {
  const turns: Record<Variant, Turn[]> = { plain: [], captured: [] };
  const connections = await Promise.all(
    Array.from({ length: work.writers }, (_, writer) => environment.connect(`writer ${writer}`)),
  );
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      // ABBA: neither is always the first.
      const order: readonly Variant[] = round % 2 === 0 ? ['plain', 'captured'] : ['captured', 'plain'];
      for (const variant of order) {
        environment.signal.throwIfAborted();
        const table = TABLES[variant];
        await empty(environment.postgres, table);
        turns[variant].push(await takeTurn(environment, connections, table, work, seconds));
      }
    }
  } finally {
    for (const pg of connections) await pg[Symbol.asyncDispose]();
  }
  return { ...work, plain: costOf(turns.plain, work), captured: costOf(turns.captured, work) };
}

async function empty(pg: ClientBase, table: string): Promise<void> {
  await pg.query(/* sql */ `truncate ${table}`);
  if (table === TABLES.captured) await pg.query(/* sql */ `truncate ${outboxTable(OUTBOX_ID)}`);
}

async function takeTurn(
  environment: BenchEnvironment,
  connections: readonly ClientBase[],
  table: string,
  { what, batch }: Work,
  seconds: number,
): Promise<Turn> {
  const write = WRITES[what];
  // Updates and deletes need rows; a turn that gets through them all ends early.
  const last = what === 'insert' ? Infinity : Math.max(batch, Math.ceil(seconds * 100_000));
  if (what !== 'insert') await insertOrders(environment.postgres, table, 1, last);
  let next = 1;
  let rows = 0;
  const before = await position(environment);
  const deadline = performance.now() + seconds * 1_000;
  const startedAt = performance.now();
  await Promise.all(
    connections.map(async (pg) => {
      while (performance.now() < deadline && next + batch - 1 <= last) {
        const from = next;
        next += batch;
        await write(pg, table, from, from + batch - 1);
        rows += batch;
      }
    }),
  );
  const elapsed = (performance.now() - startedAt) / 1_000;
  const after = await position(environment);
  return {
    rows,
    seconds: elapsed,
    coreSeconds: after.cores - before.cores,
    walBytes: Number(BigInt(after.wal) - BigInt(before.wal)),
  };
}

type Write = (pg: ClientBase, table: string, from: number, to: number) => Promise<void>;

const WRITES: Readonly<Record<Work['what'], Write>> = {
  insert: insertOrders,
  update: async (pg, table, from, to) => {
    const text = /* sql */ `update ${table} set total = total + 1, paid = not paid where id between $1::bigint and $2::bigint`;
    await pg.query({ name: `update ${table}`, text, values: [from, to] });
  },
  delete: async (pg, table, from, to) => {
    const text = /* sql */ `delete from ${table} where id between $1::bigint and $2::bigint`;
    await pg.query({ name: `delete ${table}`, text, values: [from, to] });
  },
};

async function position({ postgres, stack }: BenchEnvironment): Promise<{ wal: string; cores: number }> {
  const found = await postgres.query<{ wal: string }>(
    /* sql */ `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as wal`,
  );
  return { wal: found.rows[0]?.wal ?? '0', cores: coreSeconds({ postgres: stack.pid('postgres') })['postgres'] ?? 0 };
}

/** Medians of the turns; core-seconds of all of them together, which the kernel counts in hundredths only. */
function costOf(turns: readonly Turn[], { writers }: Work): Cost {
  const rows = turns.reduce((sum, turn) => sum + turn.rows, 0);
  const cores = turns.reduce((sum, turn) => sum + turn.coreSeconds, 0);
  const median = (of: (turn: Turn) => number): number => percentile(turns.map(of), 0.5) ?? Number.NaN;
  const rowsPerSecond = median((turn) => turn.rows / turn.seconds);
  return {
    rowsPerSecond: Math.round(rowsPerSecond),
    microsPerRow: tenths((writers * 1e6) / rowsPerSecond),
    coreMicrosPerRow: tenths((cores * 1e6) / rows),
    walBytesPerRow: Math.round(median((turn) => turn.walBytes / turn.rows)),
  };
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

function composeReport(results: readonly WorkResult[], seconds: number): Report {
  return {
    tables: [
      {
        title: `trigger: cost of the outbox to the writer, median of ${ROUNDS} turns of ${seconds} s each, taken in turn`,
        heads: [
          'work',
          'batch',
          'writers',
          'rows/s without',
          'rows/s with',
          'of it',
          'us/row added',
          'core us/row added',
          'WAL B/row without',
          'WAL B/row with',
        ],
        rows: results.map(({ what, batch, writers, plain, captured }) => [
          what,
          batch,
          writers,
          plain.rowsPerSecond,
          captured.rowsPerSecond,
          percent(captured.rowsPerSecond / plain.rowsPerSecond),
          tenths(captured.microsPerRow - plain.microsPerRow),
          tenths(captured.coreMicrosPerRow - plain.coreMicrosPerRow),
          plain.walBytesPerRow,
          captured.walBytesPerRow,
        ]),
      },
    ],
    result: {
      repetitions: ROUNDS,
      seconds,
      works: results.map((work) => ({
        ...work,
        ratio: Math.round((work.captured.rowsPerSecond / work.plain.rowsPerSecond) * 1_000) / 1_000,
        microsPerRowAdded: tenths(work.captured.microsPerRow - work.plain.microsPerRow),
        coreMicrosPerRowAdded: tenths(work.captured.coreMicrosPerRow - work.plain.coreMicrosPerRow),
      })),
    },
  };
}
