import type { ClientBase } from 'pg';
import { outboxTable } from '../../outbox/names.js';
import { copyIn } from '../copy-in.js';
import { formatLsn } from '../lsn.js';
import type { LogLines } from './log-lines.js';
import { CHANGE_COLUMNS, valueColumn } from './log-table-sql.js';

/**
 * Writes changes into the outbox of their table, and notes how far their transaction has come: the position of the reader says nothing
 * of one that is here in part.
 * @param pg in the transaction of the position
 */
export async function writeLog(pg: ClientBase, lines: LogLines): Promise<void> {
  const { id, form, commit, changes } = lines;
  const columns = [...CHANGE_COLUMNS, ...(form?.places.map(valueColumn) ?? [])];
  await copyIn(pg, /* sql */ `copy ${outboxTable(id)} (${columns.join(', ')}) from stdin`, lines.text);
  await noteLog(pg, id, { commit: formatLsn(commit), changes });
}

/** In the place of changes that do not fit into the outbox: it parks the table. */
export async function markLog(pg: ClientBase, { id, commit, changes }: LogLines): Promise<void> {
  await pg.query(/* sql */ `insert into ${outboxTable(id)} (mark) values ('x')`);
  await noteLog(pg, id, { commit: formatLsn(commit), changes });
}

async function noteLog(
  pg: ClientBase,
  id: string,
  { commit, changes }: { readonly commit: string; readonly changes: number },
): Promise<void> {
  await pg.query(
    /* sql */ `insert into pg2click.wal_log (table_id, commit, changes) values ($1, $2::pg_lsn, $3)
      on conflict (table_id) do update set commit = excluded.commit, changes = excluded.changes`,
    [id, commit, changes],
  );
}
