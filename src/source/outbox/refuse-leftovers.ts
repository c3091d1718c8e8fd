import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { hasDrain, readDrainedBatch } from './drain-row.js';
import { captureFunction, CAPTURE_FUNCTIONS, outboxTable } from './names.js';

interface Leftovers {
  readonly outbox: boolean;
  /** As many as are there. */
  readonly functions: number;
  /** Oid and name of each table with a trigger that calls one of them. */
  readonly tables: readonly { readonly relation: string; readonly name: string }[];
  /** As `readDrainedBatch`. */
  readonly drained: number | undefined;
}

/**
 * A ledger in another database that was restored gives its ids again. What an id names in the source may be the outbox of
 * a table that the ledger has forgotten: to replace its functions would fail the writes of that table.
 * @param before the table as an earlier attempt left it, which may have made the outbox; undefined where there was none
 * @throws Failure `LedgerSetBack`
 */
export async function refuseLeftovers(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'id' | 'name' | 'relation'>,
  before: Pick<ReplicatedTable, 'relation'> | undefined,
): Promise<void> {
  const { id, name } = table;
  const { outbox, functions, tables, drained } = await find(pg, id, [
    table.relation,
    before?.relation ?? table.relation,
  ]);
  const isOwn = tables.every(({ relation }) => relation === table.relation || relation === before?.relation);
  // What no attempt has made ready was never drained.
  if (before !== undefined && isOwn && (drained ?? 0) === 0) return;
  if (!outbox && functions === 0 && drained === undefined) return;
  const others = tables.map((each) => each.name).join(', ');
  const statements = [
    ...CAPTURE_FUNCTIONS.map((event) => `drop function if exists ${captureFunction(id, event)}() cascade`),
    `drop table if exists ${outboxTable(id)}`,
    ...(drained === undefined ? [] : [`delete from pg2click.drain where table_id = ${id}`]),
  ];
  throw new Failure('LedgerSetBack', {
    message:
      `${formatTableName(name)} would get the outbox ${outboxTable(id)}, which is there already` +
      `${others === '' ? '' : `, with its triggers on ${others}`}: the ledger is older than that outbox.`,
    remedy:
      `Run in PostgreSQL: ${statements.join('; ')}; ${THEN_GO_ON}.` +
      `${others === '' ? '' : ` Changes of ${others} are not captured from then on: add it again.`}`,
  });
}

/** @param own a trigger on a partition of one of these is one of its own */
async function find(pg: Queryable, id: string, own: readonly string[]): Promise<Leftovers> {
  try {
    const found = await pg.query<Omit<Leftovers, 'drained'>>(
      /* sql */ `
      with function as (
        select pg_catalog.to_regprocedure(f)::oid as oid from unnest($1::text[]) f
        where pg_catalog.to_regprocedure(f) is not null
      )
      select pg_catalog.to_regclass($2) is not null as outbox,
        (select count(*)::int from function) as functions,
        (select coalesce(jsonb_agg(distinct jsonb_build_object(
            'relation', owner.relation::text, 'name', owner.relation::regclass::text)), '[]')
          from pg_catalog.pg_trigger t
          cross join lateral (select coalesce(
            (select a.relid::oid from pg_catalog.pg_partition_ancestors(t.tgrelid) a where a.relid::oid = any ($3::oid[]) limit 1),
            t.tgrelid) as relation) owner
          where t.tgfoid in (select oid from function)) as tables`,
      [CAPTURE_FUNCTIONS.map((event) => `${captureFunction(id, event)}()`), outboxTable(id), own],
    );
    const [row] = found.rows;
    if (row === undefined) throw new Error('a select of one row returned none');
    return { ...row, drained: (await hasDrain(pg)) ? await readDrainedBatch(pg, id) : undefined };
  } catch (error) {
    throw classifyPostgres(error, 'looking for an outbox of the same number');
  }
}
