import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { Queryable } from '../../connect/queryable.js';
import { outboxTable } from './names.js';

/** The sequence that gives an outbox its positions. */
export interface OutboxSequence {
  /** `pg_class.oid`, decimal. */
  readonly oid: string;
  /** The last `seq` that was drawn, by an event or for a copy, committed or not. Decimal; `0` where none was. */
  readonly last: string;
}

/** @throws Failure `Misconfigured` where there is no such outbox; `SourceUnavailable` and its like */
export async function readOutboxSequence(pg: Queryable, id: string): Promise<OutboxSequence> {
  try {
    const found = await pg.query<OutboxSequence>(
      /* sql */ `select sequence.oid::oid::text as oid, coalesce(pg_sequence_last_value(sequence.oid), 0)::text as last
        from (select pg_get_serial_sequence($1, 'seq')::regclass as oid) sequence`,
      [outboxTable(id)],
    );
    const [row] = found.rows;
    if (row === undefined) throw new Error('a select of one row returned none');
    return row;
  } catch (error) {
    throw classifyPostgres(error, 'looking at the outbox');
  }
}
