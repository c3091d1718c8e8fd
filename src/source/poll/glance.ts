import type { ClientBase, QueryResult } from 'pg';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { IS_FLUSHED } from '../flush.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../session.js';
import { holdersSql } from '../settle.js';
import { above, countSql, denseIds, type CountedIds, type FoundIds } from './find-ids.js';
import { pollSpecOf } from './poll-table.js';
import { lastOf, lastSql, type LastRow, type LastValue } from './sequence.js';

export interface Glance extends LastValue {
  /** Somebody writes to the table: what is there up to `last` is not all yet. */
  readonly isHeld: boolean;
  /** Undefined where it is held, and where ids are missing. */
  readonly found: FoundIds | undefined;
}

/** Where the bound of the first statement is kept for the third. */
const BOUND = 'pg2click.bound';

/**
 * A whole round in one message: where the sequence stands, whether somebody writes to the table, and which ids are there up to it. Each
 * statement has a snapshot of its own, in this order, as in the rounds of several messages. Where nobody writes at this moment and no
 * id is missing, that is all it takes: a round of several messages made rows of a quiet table wait 10 ms longer.
 * @param pg a connection of its own; in the middle of a transaction when this throws
 */
export async function glance(
  pg: ClientBase,
  table: ReplicatedTable,
  { after, rows }: { readonly after: bigint; readonly rows: number },
): Promise<Glance> {
  const { sequence } = pollSpecOf(table);
  const ids = above(table, { after, upTo: `pg_catalog.current_setting('${BOUND}')::bigint`, rows });
  const opening = `${BEGIN_READING};${LOOK_UP_BY_INDEX};${lockRowSchemaSql(table)}`;
  const bound = `, pg_catalog.set_config('${BOUND}', coalesce(pg_catalog.pg_sequence_last_value(c.oid), 0)::text, true) as bound`;
  const looking = [
    lastSql(sequence, bound),
    /* sql */ `select exists (${holdersSql(table.relation)}) as held`,
    countSql(ids),
    'commit',
    IS_FLUSHED,
  ];
  const results = (await pg.query(`${opening};${looking.join(';')}`)) as unknown as QueryResult[];
  await requireRowSchema(pg, results.slice(0, -looking.length), table);
  const [last, held, counted, , flushed] = results.slice(-looking.length).map((result) => result.rows as unknown[]);
  const known = lastOf((last ?? []) as LastRow[], sequence);
  const isHeld = (held as { held: boolean }[] | undefined)?.[0]?.held !== false;
  const dense = isHeld ? undefined : denseIds((counted ?? []) as CountedIds[], { upTo: known.last, rows });
  const isFlushed = (flushed as { flushed: boolean }[] | undefined)?.[0]?.flushed === true;
  return { ...known, isHeld, found: dense && { ...dense, gaps: [], isFlushed } };
}
