import { Failure } from '../../failure/failure.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { Queryable } from '../../connect/queryable.js';
import { outboxTable } from './names.js';

/** The sequence that gives an outbox its positions. */
export interface OutboxSequence {
  /** `pg_class.oid`, decimal. */
  readonly oid: string;
  /** The last `seq` that was allocated, by an event or for a copy, committed or not. Decimal; `0` where none was. */
  readonly last: string;
}

/** @throws Failure `Misconfigured` where there is no such outbox; `Unauthorized` where its value is hidden; `SourceUnavailable` and its like */
export async function readOutboxSequence(pg: Queryable, id: string): Promise<OutboxSequence> {
  try {
    // PostgreSQL 18 answers null, and no error, to a role that may not see the value: 0 would look like a restored server.
    const found = await pg.query<OutboxSequence & { readonly isVisible: boolean }>(
      /* sql */ `select sequence.oid::oid::text as oid, coalesce(pg_sequence_last_value(sequence.oid), 0)::text as last,
          has_sequence_privilege(sequence.oid, 'select, usage') as "isVisible"
        from (select pg_get_serial_sequence($1, 'seq')::regclass as oid) sequence`,
      [outboxTable(id)],
    );
    const [row] = found.rows;
    if (row === undefined) throw new Error('a select of one row returned none');
    const { isVisible, ...sequence } = row;
    if (!isVisible)
      throw new Failure('Unauthorized', {
        message: `The role of the worker may not read the sequence of ${outboxTable(id)}.`,
        remedy:
          'Give it the right back: grant usage, select on all sequences in schema pg2click to ROLE; or make it the owner. Then resume.',
      });
    return sequence;
  } catch (error) {
    throw classifyPostgres(error, 'looking at the outbox');
  }
}
