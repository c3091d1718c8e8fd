import type { Queryable } from '../../connect/queryable.js';
import type { Chunk } from '../../domain/chunk.js';
import { literal } from '../../domain/identifier.js';
import { isTree, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';

/** A table of terabytes gets larger chunks, not more rows in the ledger. */
export const MOST_CHUNKS = 10_000;

export type PlannedChunk = Omit<Chunk, 'chunk'>;

interface Heap {
  /** Decimal. */
  readonly relation: string;
  readonly file: string;
  readonly blocks: number;
  /** With TOAST. */
  readonly bytes: number;
  /** Our role may read it by itself, and a range of its blocks is a range of its file. */
  readonly cuttable: boolean;
}

/**
 * Cuts a table into ranges of blocks, of each of its partitions. Not by key: a range of blocks is read from one end to the other whatever
 * the key is, where a range of uuids is all over the table; and it needs no statistics and no index.
 * @returns none for an empty table; one for all of it, where a part of it is no heap of PostgreSQL's own or not for our role
 */
export async function planChunks(
  pg: Queryable,
  table: ReplicatedTable,
  chunkBytes: number,
): Promise<readonly PlannedChunk[]> {
  const heaps = await readHeaps(pg, table);
  const bytes = heaps.reduce((sum, heap) => sum + heap.bytes, 0);
  if (!heaps.every(({ cuttable }) => cuttable)) return [{ range: { kind: 'whole' }, bytes }];
  const largest = Math.max(chunkBytes, bytes / MOST_CHUNKS);
  return heaps.flatMap((heap) => cut(heap, largest));
}

/** The same for one heap that was planned before. @returns none where it is gone, or not a part of the table any more */
export async function planHeap(
  pg: Queryable,
  table: ReplicatedTable,
  relation: string,
  chunkBytes: number,
): Promise<readonly PlannedChunk[]> {
  const heap = (await readHeaps(pg, table)).find((each) => each.relation === relation);
  return heap === undefined ? [] : cut(heap, Math.max(chunkBytes, heap.bytes / MOST_CHUNKS));
}

/** Of a table on the disk of PostgreSQL, with TOAST; its partitions too. */
export async function readTableBytes(pg: Queryable, table: ReplicatedTable): Promise<number> {
  try {
    const found = await pg.query<{ bytes: number }>(/* sql */ `
      select coalesce(sum(pg_table_size(family.oid)), 0)::float8 as bytes from (${heapsSql(table)}) family`);
    return found.rows[0]?.bytes ?? 0;
  } catch (error) {
    throw classifyPostgres(error, `asking for the size of ${formatTableName(table.name)}`);
  }
}

function cut({ relation, file, blocks, bytes }: Heap, chunkBytes: number): PlannedChunk[] {
  if (blocks === 0) return [];
  const count = Math.min(blocks, Math.ceil(bytes / chunkBytes));
  return Array.from({ length: count }, (_, index) => {
    const [from, to] = [index, index + 1].map((part) => Math.round((part * blocks) / count)) as [number, number];
    const range = { kind: 'blocks', relation, file, from, to } as const;
    return { range, bytes: Math.round((bytes * (to - from)) / blocks) };
  });
}

/** The tables that hold its rows, as a select of their `oid`: itself, or its partitions. */
export function heapsSql(table: ReplicatedTable): string {
  const relation = `${literal(table.relation)}::oid`;
  return isTree(table)
    ? /* sql */ `select relid as oid from pg_catalog.pg_partition_tree(${relation}) where isleaf`
    : /* sql */ `select ${relation} as oid`;
}

async function readHeaps(pg: Queryable, table: ReplicatedTable): Promise<readonly Heap[]> {
  try {
    const found = await pg.query<Heap>(/* sql */ `
      select c.oid::text as relation, coalesce(pg_relation_filenode(c.oid), 0)::text as file,
        (coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint)::float8 as blocks,
        coalesce(pg_table_size(c.oid), 0)::float8 as bytes,
        c.relkind = 'r' and a.amname = 'heap' and not row_security_active(c.oid)
          and has_schema_privilege(c.relnamespace, 'usage') and has_table_privilege(c.oid, 'select') as cuttable
      from (${heapsSql(table)}) family
      join pg_catalog.pg_class c on c.oid = family.oid
      left join pg_catalog.pg_am a on a.oid = c.relam
      order by c.oid`);
    return found.rows.map((heap) => ({ ...heap, cuttable: heap.cuttable === true }));
  } catch (error) {
    throw classifyPostgres(error, `planning the copy of ${formatTableName(table.name)}`);
  }
}
