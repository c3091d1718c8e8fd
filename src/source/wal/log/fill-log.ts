import type { Queryable } from '../../../connect/queryable.js';
import { quotePg } from '../../../domain/identifier.js';
import { printed } from '../../../domain/types/expressions.js';
import type { ReplicatedTable } from '../../../domain/replicated-table.js';
import { Failure } from '../../../failure/failure.js';
import { changedMeanwhile } from '../../catalog/verify-inspected.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../../catalog/row-schema.js';
import { classifyPostgres } from '../../../failure/classify-postgres.js';
import { formatTableName } from '../../../domain/table-name.js';
import type { DdlOptions } from '../../brief-lock.js';
import { outboxTable, ownRows } from '../../outbox/names.js';
import { BEGIN_SNAPSHOT } from '../../session.js';
import { settle } from '../../settle.js';
import { inTransaction } from '../../transaction.js';
import { ensureForm, readFormColumns, readPlaceTypes } from './forms.js';
import { valueColumn } from './log-table-sql.js';

const BEGIN_FILLING = `${BEGIN_SNAPSHOT}; set local synchronous_commit = on`;
/** 64 MB of the table: between two pieces it is shown how far it is, and may be stopped. */
const PIECE_BLOCKS = 8_192;

/**
 * Puts the rows of a table into its outbox, with which its log begins: one snapshot, which is noted. Changes that it saw are in these rows,
 * and are left out when the outbox is read; every later one is read from the WAL whole, because who has written before the table was
 * published is waited for. Called again it begins again.
 *
 * PostgreSQL writes the rows a second time for it. Rows that are read in chunks would be of different moments, and a log could
 * not say in which order they and the changes came.
 * @param pg a connection of its own @param table is published @throws Failure as `settle`, and those of PostgreSQL
 */
export async function fillLog(pg: Queryable, table: ReplicatedTable, options: DdlOptions): Promise<void> {
  const title = formatTableName(table.name);
  const { signal = new AbortController().signal, onWait = () => undefined, fence } = options;
  const found = await pg.query<{ lsn: string }>(/* sql */ `select pg_catalog.pg_current_wal_insert_lsn()::text as lsn`);
  const lsn = found.rows[0]?.lsn ?? '0/0';
  await settle(pg, table.relation, { signal, onHeld: (who) => onWait(`${title} is written to by ${who}`) });
  try {
    await inTransaction(pg, BEGIN_FILLING, async () => {
      await fence?.(pg);
      await requireRowSchema(pg, await pg.query(lockRowSchemaSql(table)), table);
      const form = await ensureForm(pg, table.id, await readFormColumns(pg, table.relation));
      const types = await readPlaceTypes(pg, form.types);
      const read = new Set(table.columns.map(({ name }) => name));
      const fields = form.names.flatMap((name, index) => {
        if (!read.has(name)) return [];
        const value = `source.${quotePg(name)}`;
        return [
          { column: valueColumn(form.places[index] ?? 0), value: types[index] === undefined ? printed(value) : value },
        ];
      });
      const outbox = outboxTable(table.id);
      // Of an earlier attempt; and changes that this snapshot sees.
      await pg.query(/* sql */ `delete from ${outbox}`);
      const insert = /* sql */ `insert into ${outbox} (op, lsn, at, tx, form, ${fields.map(({ column }) => column).join(', ')})
        select 'r', $1::pg_lsn, pg_catalog.now(), '0'::xid8, $2::integer, ${fields.map(({ value }) => value).join(', ')}
        from ${ownRows(table)} source`;
      const blocks = await countBlocks(pg, table.relation);
      for (let from = 0; from === 0 || from < blocks; from += PIECE_BLOCKS) {
        signal.throwIfAborted();
        onWait(`the rows of ${title} are read into its log: ${Math.floor((100 * from) / Math.max(1, blocks))} %`);
        await pg.query(`${insert}${pieceSql(from, blocks)}`, [lsn, form.form]);
      }
      await pg.query(
        /* sql */ `update pg2click.wal_table set seen = pg_catalog.pg_current_snapshot() where table_id = $1`,
        [table.id],
      );
    });
  } catch (error) {
    signal.throwIfAborted();
    // It was inspected before: the next attempt looks at it again.
    if (error instanceof Failure) throw error.kind === 'SourceChanged' ? changedMeanwhile(table.name, error) : error;
    throw explainMissing(classifyPostgres(error, `reading the rows of ${title} for its log`), error);
  }
}

/** @returns 0 where its rows are not found by their blocks */
async function countBlocks(pg: Queryable, relation: string): Promise<number> {
  const found = await pg.query<{ blocks: number }>(
    /* sql */ `select case when a.amname = 'heap'
        then pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::integer else 0 end::float8 as blocks
      from pg_catalog.pg_class c join pg_catalog.pg_am a on a.oid = c.relam where c.oid = $1::oid`,
    [relation],
  );
  return found.rows[0]?.blocks ?? 0;
}

/** The last piece has no end: all that the snapshot sees is in one of them. */
function pieceSql(from: number, blocks: number): string {
  const to = from + PIECE_BLOCKS;
  const begin = from === 0 ? [] : [/* sql */ `source.ctid >= '(${from},0)'::tid`];
  const end = to >= blocks ? [] : [/* sql */ `source.ctid < '(${to},0)'::tid`];
  const conditions = [...begin, ...end];
  return conditions.length === 0 ? '' : /* sql */ ` where ${conditions.join(' and ')}`;
}
