import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError, type Client } from 'pg';
import { seededRandom } from './random.js';
import { TRANSACTION_KINDS, type WriterContext, type TransactionKind } from './transactions.js';

export interface WriterOptions {
  /** A connection that the writer owns and ends. */
  readonly connect: () => Promise<Client>;
  readonly connections: number;
  readonly seed: number;
  /** Sizes of the tables when it starts. */
  readonly flights: number;
  readonly notes: number;
  /** Transactions a second, all connections together; as many as go by default. */
  readonly rate?: number;
  /** What its transactions do; all kinds by default. */
  readonly kinds?: readonly TransactionKind[];
  /** Ends by itself after so many changed rows; at `stop` by default. */
  readonly changes?: number;
  /** A connection that breaks is opened again; by default it is an error. */
  readonly persistent?: boolean;
}

export interface WriterTotals {
  readonly transactions: number;
  /** Rows inserted, updated or deleted by transactions that committed; a TRUNCATE counts as one. */
  readonly changes: number;
  /** Undone on purpose, and given up because of a deadlock or a taken key. */
  readonly rolledBack: number;
  readonly refused: number;
  /** Connections that broke: what their last transaction did is not known, and not counted. */
  readonly broken: number;
}

export interface Writer {
  readonly totals: WriterTotals;
  /** Resolves when it has ended by itself or was stopped, rejects with what it could not go on after. */
  readonly ended: Promise<void>;
  /** Lets the transactions in hand end. */
  stop(): Promise<void>;
}

/** Two writers in each other's way: part of the picture, the transaction is simply lost. */
const REFUSED: ReadonlySet<string> = new Set([
  '40P01', // deadlock_detected
  '40001', // serialization_failure
  '23505', // unique_violation
]);

const RECONNECT_MS = 100;

/** Writes as applications do: short transactions of many kinds, on several connections at once. */
export function startWriter(options: WriterOptions): Writer {
  const totals = { transactions: 0, changes: 0, rolledBack: 0, refused: 0, broken: 0 };
  const stopping = new AbortController();
  const { kinds = TRANSACTION_KINDS } = options;
  const totalWeight = kinds.reduce((sum, work) => sum + work.weight, 0);
  const isOver = (): boolean =>
    stopping.signal.aborted || (options.changes !== undefined && totals.changes >= options.changes);
  const pauseMs = options.rate === undefined ? 0 : (1_000 * options.connections) / options.rate;

  const write = async (index: number): Promise<void> => {
    const random = seededRandom(options.seed + index);
    while (!isOver()) {
      const pg = await connect(options, stopping.signal);
      if (pg === undefined) return;
      const context: WriterContext = { pg, random, flights: options.flights, notes: options.notes };
      try {
        while (!isOver()) {
          const due = Date.now() + pauseMs;
          await transact(context, chooseKind(kinds, random.below(totalWeight)), totals);
          if (due > Date.now())
            await sleep(due - Date.now(), undefined, { signal: stopping.signal }).catch(() => undefined);
        }
      } catch (error) {
        if (options.persistent !== true || sqlState(error) !== undefined) throw error;
        totals.broken += 1;
      } finally {
        await pg.end().catch(() => undefined);
      }
    }
  };

  const ended = Promise.all(
    Array.from({ length: options.connections }, (_, index) =>
      write(index).catch((error: unknown) => {
        stopping.abort();
        throw error;
      }),
    ),
  ).then(() => undefined);
  ended.catch(() => undefined);
  return {
    totals,
    ended,
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

async function connect(options: WriterOptions, signal: AbortSignal): Promise<Client | undefined> {
  for (;;) {
    try {
      return await options.connect();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (options.persistent !== true) throw error;
      await sleep(RECONNECT_MS);
    }
  }
}

async function transact(
  context: WriterContext,
  work: TransactionKind,
  totals: { -readonly [Name in keyof WriterTotals]: WriterTotals[Name] },
): Promise<void> {
  const { pg } = context;
  try {
    await pg.query('begin');
    const changes = await work.run(context);
    await pg.query(work.ending);
    if (work.ending === 'rollback') {
      totals.rolledBack += 1;
    } else {
      totals.transactions += 1;
      totals.changes += changes;
    }
  } catch (error) {
    if (!REFUSED.has(sqlState(error) ?? '')) throw error;
    await pg.query('rollback');
    totals.refused += 1;
  }
}

function chooseKind(kinds: readonly TransactionKind[], point: number): TransactionKind {
  let left = point;
  for (const work of kinds) {
    left -= work.weight;
    if (left < 0) return work;
  }
  throw new RangeError(`no work at ${point}`);
}

/** Where the server refused a statement; undefined where the connection broke. */
function sqlState(error: unknown): string | undefined {
  // Class 57P: the server shuts down, which ends the connection too.
  return error instanceof DatabaseError && error.code?.startsWith('57P') === false ? error.code : undefined;
}
