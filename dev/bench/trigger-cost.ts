import type { ClientBase } from 'pg';
import { percentile } from '../demo/percentile.js';
import { insertOrders } from './orders.js';
import type { Report, Scenario } from './scenario.js';
import type { BenchEnvironment } from './environment.js';
import { percent } from './table.js';
import { installVariants, TRIGGER_VARIANTS, type TriggerVariant } from './trigger-variants.js';
import { coreSeconds } from './usage.js';

const ROUNDS = 4;

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
  /** By the name of the variant. */
  readonly costs: Readonly<Record<string, Cost>>;
}

/** The writers' table is written with and without the triggers in turn: the speed of a disk changes within seconds. */
export const triggerCost: Scenario = {
  name: 'trigger',
  summary:
    'what capture costs those who write: none, our triggers, the WAL, and a jsonb row each; in batches of 1, 100 and 1,000, with 1 and 8 writers',
  async run({ environment, options, report }) {
    const { postgres } = environment;
    const removeVariants = await installVariants(postgres);
    // Right after a checkpoint, every page goes into the WAL whole: those of all variants once, early.
    await postgres.query('checkpoint');
    const results: WorkResult[] = [];
    for (const work of WORKS) {
      report(`${work.what}, batches of ${work.batch}, ${work.writers} writers`);
      results.push(await compare(environment, work, turnSeconds(options.seconds)));
    }
    await removeVariants();
    return composeReport(results, turnSeconds(options.seconds));
  },
};

function turnSeconds(seconds: number): number {
  return Math.max(0.05, seconds / 40);
}

async function compare(environment: BenchEnvironment, work: Work, seconds: number): Promise<WorkResult> {
  const turns = new Map<TriggerVariant, Turn[]>(TRIGGER_VARIANTS.map((variant) => [variant, []]));
  const connections = await Promise.all(
    Array.from({ length: work.writers }, (_, writer) => environment.connect(`writer ${writer}`)),
  );
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      // There and back: none is always the first.
      for (const variant of round % 2 === 0 ? TRIGGER_VARIANTS : TRIGGER_VARIANTS.toReversed()) {
        environment.signal.throwIfAborted();
        await empty(environment.postgres, variant);
        const leave = await variant.attend?.(environment);
        turns.get(variant)?.push(await takeTurn(environment, connections, variant.table, work, seconds));
        await leave?.();
      }
    }
  } finally {
    for (const pg of connections) await pg[Symbol.asyncDispose]();
  }
  const costs = [...turns].map(([{ name }, taken]) => [name, costOf(taken, work)] as const);
  return { ...work, costs: Object.fromEntries(costs) };
}

async function empty(pg: ClientBase, { table, fills }: TriggerVariant): Promise<void> {
  await pg.query(/* sql */ `truncate ${[table, ...fills].join(', ')}`);
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
  const names = TRIGGER_VARIANTS.map(({ name }) => name);
  const [bare = '', ...others] = names;
  const perRow = (cost: Cost | undefined, than: Cost | undefined): (number | undefined)[] => [
    tenths((cost?.microsPerRow ?? Number.NaN) - (than?.microsPerRow ?? Number.NaN)),
    tenths((cost?.coreMicrosPerRow ?? Number.NaN) - (than?.coreMicrosPerRow ?? Number.NaN)),
    cost?.walBytesPerRow,
  ];
  const workOf = ({ what, batch, writers }: WorkResult): readonly (string | number)[] => [what, batch, writers];
  const heads = ['work', 'batch', 'writers'];
  return {
    tables: [
      {
        title: `trigger: rows/s of those who write, median of ${ROUNDS} turns of ${seconds} s each, taken in turn`,
        heads: [...heads, `${bare}: rows/s`, ...others.flatMap((name) => [`${name}: rows/s`, 'of it'])],
        rows: results.map((work) => [
          ...workOf(work),
          work.costs[bare]?.rowsPerSecond,
          ...others.flatMap((name) => [work.costs[name]?.rowsPerSecond, percent(ratioOf(work, name, bare))]),
        ]),
      },
      {
        title:
          'trigger: what each adds to a row: microseconds of the writer, of a core of PostgreSQL, and bytes of WAL in all',
        heads: [...heads, `${bare}: WAL B`, ...others.flatMap((name) => [`${name}: us`, 'core us', 'WAL B'])],
        rows: results.map((work) => [
          ...workOf(work),
          work.costs[bare]?.walBytesPerRow,
          ...others.flatMap((name) => perRow(work.costs[name], work.costs[bare])),
        ]),
      },
    ],
    result: {
      repetitions: ROUNDS,
      seconds,
      works: results.map((work) => ({
        ...work,
        ratios: Object.fromEntries(others.map((name) => [name, ratioOf(work, name, bare)])),
      })),
    },
  };
}

function ratioOf({ costs }: WorkResult, name: string, bare: string): number {
  const ratio = (costs[name]?.rowsPerSecond ?? Number.NaN) / (costs[bare]?.rowsPerSecond ?? Number.NaN);
  return Math.round(ratio * 1_000) / 1_000;
}
