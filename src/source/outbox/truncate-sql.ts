import { storedKey } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { insertInto, looseBody, looseImages, markSql, typedGuard, values, type Capture } from './capture-parts.js';
import { keyColumn } from './names.js';

/**
 * What the `truncate` function of a partitioned table does. On the table itself it runs after the TRUNCATE and writes the mark `t`. On a
 * partition it runs before: the TRUNCATE of a partition is none of the table, so the keys of its rows go into the outbox (some
 * 5 us a row on two busy cores). Where the table itself is truncated, PostgreSQL calls it for each partition too: then it does nothing.
 *
 * TRUNCATE takes away rows too that the snapshot of a REPEATABLE READ transaction does not show. There, and where our role may not read the
 * partition, the keys cannot be known: the event is `x`.
 */
export function truncateTreeBody(capture: Capture): string {
  const { columns, hasLoose } = capture.key;
  const guard = typedGuard(capture);
  const keys = columns.map((_, at) => keyColumn(at));
  const images = columns.map((column) => storedKey(column, `source.${quotePg(column.name)}`));
  const from = `' from only ' || tg_relid::regclass::text || ' source'`;
  const typed = `${insertInto(capture, keys)} ${values(capture, images)}`;
  const loose = `${insertInto(capture, ['loose'])} ${values(capture, looseImages(capture, 'source'))}`;
  const branch = /* sql */ `if tg_relid = ${capture.relation} then
      ${markSql(capture, 't')};
      perform set_config('${flagOf(capture.id)}', '', true);
      return null;
    end if;
    if current_setting('${flagOf(capture.id)}', true) = pg_current_xact_id()::text then
      return null;
    end if;
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted')
      or not has_schema_privilege(tg_table_schema, 'usage') or not has_table_privilege(tg_relid, 'select')
      or row_security_active(tg_relid) then
      ${markSql(capture, 'x')};
      return null;
    end if;
    ${guard === undefined ? '' : `if ${guard} then execute ${literal(typed)} || ${from}; return null; end if;`}`;
  if (!hasLoose) throw new TypeError('an outbox of a release without partitioned tables has none');
  return looseBody(capture, {
    typed: branch,
    unknown: `${markSql(capture, 'x')};`,
    loose: (names: string) => `execute format(${literal(loose)}, ${names}) || ${from};`,
  });
}

/** The `truncating` function, before the TRUNCATE of the table itself: its partitions come next, in the same transaction. */
export function truncatingBody(id: string): string {
  return /* sql */ `begin
    perform set_config('${flagOf(id)}', pg_current_xact_id()::text, true);
    return null;
  end`;
}

/** Ends with the transaction, and with the subtransaction that is rolled back. */
function flagOf(id: string): string {
  return `pg2click.truncating_${id}`;
}
