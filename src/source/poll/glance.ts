import type { ClientBase, QueryResult } from 'pg';
import { literal } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { IS_FLUSHED } from '../flush.js';
import { qualified } from '../outbox/names.js';
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

const DIVISION_BY_ZERO = '22012';
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
  const looking = [
    // Ends the message before anything of the table is looked at: the name may be that of a view now, whose functions run as our role.
    /* sql */ `select 1 / (${literal(qualified(sourceName(table)))}::pg_catalog.regclass = ${literal(table.relation)}::pg_catalog.oid)::int`,
    lastSql(sequence, (last) => `pg_catalog.set_config('${BOUND}', ${last}, true)`),
    /* sql */ `select exists (${holdersSql(table.relation)}) as held`,
    countSql(ids),
    'commit',
    IS_FLUSHED,
  ];
  const results = await pg.query(`${opening};${looking.join(';')}`).catch(async (error: unknown) => {
    if ((error as { code?: unknown }).code === DIVISION_BY_ZERO) {
      await pg.query('rollback');
      await requireRowSchema(pg, await pg.query(opening), table);
    }
    throw error;
  });
  const all = results as unknown as readonly QueryResult[];
  await requireRowSchema(pg, all.slice(0, -looking.length), table);
  const [, last, held, counted, , flushed] = all.slice(-looking.length).map((result) => result.rows as unknown[]);
  const known = lastOf((last ?? []) as LastRow[], sequence);
  const isHeld = (held as { held: boolean }[] | undefined)?.[0]?.held !== false;
  const dense = isHeld ? undefined : denseIds((counted ?? []) as CountedIds[], { upTo: known.last, rows });
  const isFlushed = (flushed as { flushed: boolean }[] | undefined)?.[0]?.flushed === true;
  return { ...known, isHeld, found: dense && { ...dense, gaps: [], isFlushed } };
}
