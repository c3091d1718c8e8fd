import type { ClientBase } from 'pg';
import type { KeyRange, KeyTexts } from '../../domain/chunk.js';
import { quotePg } from '../../domain/identifier.js';
import { isTree, sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { count } from '../../domain/figures.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { allRows } from '../outbox/names.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../session.js';
import { inTransaction } from '../transaction.js';
import { readKeyOrder, type KeyOrder } from './key-order.js';
import { hasIndexOrder, keyCondition } from './key-range.js';
import { heapsSql, MOST_CHUNKS, type PlannedChunk } from './plan-chunks.js';

export interface PlanOptions {
  /** Looked at between two steps: each reads at most the keys of a chunk. */
  readonly signal: AbortSignal;
  /** Called after each step. */
  readonly onProgress: (note: string) => void;
}

/**
 * Cuts a range of keys into ranges of about `rowsPerChunk` rows, by walking the key's index from one boundary to the next, each step in
 * a transaction of its own. A range with more than 10,000 of them gets larger ones.
 * @param pg a connection of the caller's own
 * @returns none for a range without rows; one for all of it where the key's index does not have its order
 * @throws the signal's reason; Failure as `requireRowSchema` and `readKeyOrder`, and those of PostgreSQL
 */
export async function planKeyRange(
  pg: ClientBase,
  table: ReplicatedTable,
  range: KeyRange,
  rowsPerChunk: number,
  { signal, onProgress }: PlanOptions,
): Promise<readonly PlannedChunk[]> {
  const title = formatTableName(table.name);
  try {
    const order = await readKeyOrder(pg, table);
    const size = await readSize(pg, table);
    if (!hasIndexOrder(order, range)) return [{ range, bytes: size.bytes }];
    const steps = new KeySteps(pg, table, order, range);
    let boundaries: KeyTexts[] = [];
    let rows = rowsPerChunk;
    let walked = 0;
    for (;;) {
      signal.throwIfAborted();
      const from = boundaries.at(-1) ?? range.from;
      const next = await steps.next(from, rows);
      if (next === undefined) {
        const left = await steps.count(from);
        return chunksOf(range, boundaries, {
          rows,
          left,
          bytesPerRow: size.bytes / Math.max(size.rows, walked + left, 1),
        });
      }
      walked += rows;
      boundaries.push(next);
      onProgress(`cutting a range of keys: ${count(walked)} rows so far`);
      if (boundaries.length < MOST_CHUNKS) continue;
      boundaries = boundaries.filter((_, index) => index % 2 === 1);
      rows *= 2;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw explainMissing(classifyPostgres(error, `cutting a range of keys of ${title}`), error);
  }
}

/** The walk along a key's index. */
class KeySteps {
  readonly #pg: ClientBase;
  readonly #table: ReplicatedTable;
  readonly #order: KeyOrder;
  readonly #range: KeyRange;

  constructor(pg: ClientBase, table: ReplicatedTable, order: KeyOrder, range: KeyRange) {
    this.#pg = pg;
    this.#table = table;
    this.#order = order;
    this.#range = range;
  }

  /** The key that is `rows` behind the first one from `from` on; undefined where the range ends before. */
  async next(from: KeyTexts | null, rows: number): Promise<KeyTexts | undefined> {
    const columns = this.#order.map(({ name }) => `source.${quotePg(name)}`);
    // As they are printed: a cast to text would drop the blanks of a char(n).
    const texts = columns.map((column) => `concat(${column})`).join(', ');
    const [row] = await this.#read<{ key: KeyTexts }>(
      /* sql */ `select array[${texts}] as key ${this.#from(from)} order by ${columns.join(', ')} offset ${rows} limit 1`,
    );
    return row?.key;
  }

  async count(from: KeyTexts | null): Promise<number> {
    const [row] = await this.#read<{ rows: number }>(/* sql */ `select count(*)::float8 as rows ${this.#from(from)}`);
    return row?.rows ?? 0;
  }

  #from(from: KeyTexts | null): string {
    const { to, bytewise } = this.#range;
    // Without the row filter: the walk needs nothing but the index.
    const rows = allRows(sourceName(this.#table), isTree(this.#table));
    const condition = keyCondition(this.#order, { from, to, ...(bytewise === undefined ? {} : { bytewise }) });
    return /* sql */ `from ${rows} source where ${condition}`;
  }

  #read<Row extends object>(sql: string): Promise<readonly Row[]> {
    const table = this.#table;
    return inTransaction(this.#pg, `${BEGIN_READING};${LOOK_UP_BY_INDEX}`, async () => {
      await requireRowSchema(this.#pg, await this.#pg.query(lockRowSchemaSql(table)), table);
      return (await this.#pg.query<Row>(sql)).rows;
    });
  }
}

interface Size {
  /** On the disk of PostgreSQL: heap and TOAST. */
  readonly bytes: number;
  /** Of its statistics; 0 where it was never counted. */
  readonly rows: number;
}

async function readSize(pg: ClientBase, table: ReplicatedTable): Promise<Size> {
  const found = await pg.query<Size>(/* sql */ `
    select coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::float8 as bytes,
      coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 as rows
    from (${heapsSql(table)}) heap join pg_catalog.pg_class c on c.oid = heap.oid`);
  return found.rows[0] ?? { bytes: 0, rows: 0 };
}

interface CutOptions {
  /** Of each chunk but the last one. */
  readonly rows: number;
  /** Of the last one. */
  readonly left: number;
  readonly bytesPerRow: number;
}

/** The first chunk begins where the range does, and the last one ends where it does. */
function chunksOf(
  range: KeyRange,
  boundaries: readonly KeyTexts[],
  { rows, left, bytesPerRow }: CutOptions,
): PlannedChunk[] {
  if (boundaries.length === 0 && left === 0) return [];
  return [range.from, ...boundaries].map((from, index) => {
    const to = boundaries[index] ?? range.to;
    const bytes = Math.round(bytesPerRow * (index === boundaries.length ? left : rows));
    return { range: { ...range, from, to }, bytes };
  });
}
