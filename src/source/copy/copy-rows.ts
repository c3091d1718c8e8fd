import type { ClientBase } from 'pg';
import type { BlockRange, ChunkRange, KeyRange } from '../../domain/chunk.js';
import { byPosition, columnType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { composeVersion } from '../../domain/version.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { RowText } from '../../pipeline/row-batch.js';
import { ownRows, rowsThatFit } from '../outbox/names.js';
import { filterFailure } from '../filter-failure.js';
import { BEGIN_READING } from '../session.js';
import { readKeyOrder } from './key-order.js';
import { whereFailure, whereSql } from './check-where.js';
import { keyCondition } from './key-range.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { copyOut, type CopyOut } from './copy-out.js';
import { countedText } from './counted-text.js';

type CopiedTable = Pick<
  ReplicatedTable,
  'name' | 'source' | 'relation' | 'columns' | 'where' | 'generation' | 'shape'
> &
  Partial<Pick<ReplicatedTable, 'key' | 'route'>>;

/** What FROM reads, and a condition; columns are those of `source`. */
interface CopiedRows {
  readonly from: string;
  readonly where?: string;
}

/** The heap of a range has another file than when it was planned, or is not there any more: its blocks are to be planned again. */
export class HeapMoved extends Error {
  readonly relation: string;

  constructor(relation: string) {
    super('a heap was rewritten while it was copied');
    this.name = 'HeapMoved';
    this.relation = relation;
  }
}

/**
 * One line a row, with the columns of `targetColumns` in their order.
 * @param rows what FROM reads, and a condition; by default the whole table
 */
export function copySql(table: CopiedTable, position: string, rows: CopiedRows = { from: ownRows(table) }): string {
  const values = byPosition(table.columns).map((column) => columnType(column).copy(`source.${quotePg(column.name)}`));
  // As text: to print a numeric of 37 digits costs 0.1 us a row more.
  const version = literal(composeVersion(table.generation, BigInt(position), BigInt(table.shape)).toString());
  return /* sql */ `copy (
    select ${[...values, version, `'0'`].join(', ')}
    from ${rows.from} source ${rows.where === undefined ? '' : `where ${rows.where}`}
  ) to stdout`;
}

export interface CopyRowsOptions {
  readonly signal: AbortSignal;
  /** Default: the whole table. */
  readonly range?: ChunkRange;
  /** A condition of a person's, on the columns of `source`. */
  readonly where?: string | undefined;
  /** Waited for before the first byte is passed on. */
  readonly onSnapshot?: () => Promise<void>;
}

/**
 * Rows of a table as COPY text, which is ClickHouse's TabSeparated byte for byte: nothing is parsed on the way. Every row
 * carries the allocated position as its version.
 * @param pg a connection of its own, on which nothing else runs until the stream has ended. A stream that was destroyed,
 * aborted or failed leaves it in the middle of a COPY: end it.
 * @returns a stream of bytes. It fails with the signal's reason, HeapMoved, or a Failure `SourceUnavailable`, `MissingTable`,
 * `SourceChanged`, `LockTimeout`
 */
export function copyRows(
  pg: ClientBase,
  table: CopiedTable,
  position: string,
  { signal, range = { kind: 'whole' }, where, onSnapshot = () => Promise.resolve() }: CopyRowsOptions,
): RowText {
  let copy: CopyOut | undefined;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    signal.throwIfAborted();
    try {
      await requireRowSchema(pg, await pg.query(`${BEGIN_READING};${lockRowSchemaSql(table)}`), table);
      const rows = narrow(table, await rowsOf(pg, table, range), where);
      copy = copyOut(pg, copySql(table, position, rows), { signal });
      let isDurable = false;
      for await (const chunk of copy as AsyncIterable<Buffer>) {
        // The snapshot is taken now: what it shows must be on disk before a byte of it leaves.
        if (!isDurable) await onSnapshot();
        isDurable = true;
        yield chunk;
      }
      // That there are no rows is something that it shows, too.
      if (!isDurable) await onSnapshot();
      await pg.query('commit');
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HeapMoved) throw error;
      const failure = classifyPostgres(error, `copying ${formatTableName(table.name)}`);
      throw whereFailure(where, error) ?? filterFailure(table, error) ?? explainMissing(failure, error);
    }
  }
  return countedText(read(), () => copy?.rows ?? 0);
}

function narrow(table: CopiedTable, rows: CopiedRows | undefined, where: string | undefined): CopiedRows | undefined {
  if (where === undefined) return rows;
  const conditions = [...(rows?.where === undefined ? [] : [rows.where]), whereSql(where)];
  return { from: rows?.from ?? ownRows(table), where: conditions.join(' and ') };
}

/** @returns undefined for the whole table */
function rowsOf(pg: ClientBase, table: CopiedTable, range: ChunkRange): Promise<CopiedRows> | CopiedRows | undefined {
  switch (range.kind) {
    case 'blocks':
      return blocksOf(pg, table, range);
    case 'keys':
      return keysOf(pg, table, range);
    case 'whole':
      return undefined;
    default:
      return range satisfies never;
  }
}

async function keysOf(pg: ClientBase, table: CopiedTable, range: KeyRange): Promise<CopiedRows> {
  return { from: ownRows(table), where: keyCondition(await readKeyOrder(pg, table), range) };
}

/** Locks the heap as it was planned, until the transaction ends. @throws HeapMoved */
async function blocksOf(pg: ClientBase, table: CopiedTable, range: BlockRange): Promise<CopiedRows> {
  const { relation, file, from, to } = range;
  const oid = `${literal(relation)}::pg_catalog.oid`;
  const named = await pg.query<{
    name: string;
  }>(/* sql */ `select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = ${oid}`);
  const name = named.rows[0]?.name;
  if (name === undefined) throw new HeapMoved(relation);
  // Behind the lock: no statement gives the heap another file from here on.
  const locked = await pg
    .query(/* sql */ `lock table only ${name} in access share mode`)
    .then(() =>
      pg.query<{ same: boolean }>(
        /* sql */ `select ${literal(name)}::pg_catalog.regclass = ${oid} and pg_relation_filenode(${oid})::text = ${literal(file)} as same`,
      ),
    )
    .catch((error: unknown) => {
      // Renamed or dropped since.
      throw (error as { code?: unknown }).code === '42P01' ? new HeapMoved(relation) : error;
    });
  if (locked.rows[0]?.same !== true) throw new HeapMoved(relation);
  // The columns of a partition have the names of those of the table.
  const blocks = [`ctid >= '(${from},0)'::pg_catalog.tid`, `ctid < '(${to},0)'::pg_catalog.tid`];
  return { from: rowsThatFit(table, `only ${name}`, blocks) };
}
