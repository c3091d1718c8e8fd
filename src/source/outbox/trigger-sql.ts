import { literal, quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable, type TriggerLevel } from '../../domain/replicated-table.js';
import type { TableName } from '../../domain/table-name.js';
import {
  appliedAs,
  captureFunction,
  NEW_ROWS,
  OLD_ROWS,
  qualified,
  triggerName,
  type AppliedEvent,
  type CaptureFunction,
  type OutboxEvent,
} from './names.js';

/** The statement takes SHARE ROW EXCLUSIVE, so it waits for the writers of this moment and holds off the next ones. */
export function triggerSql(
  table: Pick<ReplicatedTable, 'id' | 'name' | 'source'>,
  event: OutboxEvent | AppliedEvent,
  level: TriggerLevel,
): string {
  const applied = appliedAs(event);
  const happens = applied ?? event;
  const transitions = [
    happens === 'delete' || happens === 'update' ? `old table as ${OLD_ROWS}` : '',
    happens === 'insert' || happens === 'update' ? `new table as ${NEW_ROWS}` : '',
  ].filter(Boolean);
  const isOfRows = event !== 'truncate' && (level === 'row' || applied !== undefined);
  const how = isOfRows ? 'row' : 'statement';
  const referencing = isOfRows || event === 'truncate' ? '' : `referencing ${transitions.join(' ')}`;
  return /* sql */ `create or replace trigger ${quotePg(triggerName(table.id, event))} after ${happens}
    on ${qualified(sourceName(table))} ${referencing} for each ${how} execute function ${captureFunction(table.id, event)}()`;
}

/** A trigger that runs before a TRUNCATE: of a partition (`truncate`), or of the partitioned table itself (`truncating`). */
export function beforeTruncateSql(id: string, table: TableName, runs: 'truncate' | 'truncating'): string {
  return /* sql */ `create or replace trigger ${quotePg(triggerName(id, runs))} before truncate
    on ${qualified(table)} for each statement execute function ${captureFunction(id, runs)}()`;
}

/**
 * A session with `session_replication_role = replica` changes rows too: a trigger fires in it alone (`replica`), or also in it (`always`).
 * Only the owner of the table may do this; for any other role there are functions of the administrator's (`sql/roles/postgres.sql`).
 * On a partitioned table it holds for the partitions too.
 */
export function enableSql(
  replica: Pick<ReplicatedTable, 'id' | 'name' | 'source'>,
  event: CaptureFunction,
  { sessions, owned }: { readonly sessions: 'always' | 'replica'; readonly owned: boolean },
): string {
  const table = qualified(sourceName(replica));
  const name = triggerName(replica.id, event);
  return owned
    ? /* sql */ `alter table ${table} enable ${sessions} trigger ${quotePg(name)}`
    : /* sql */ `select pg2click_admin.enable_${sessions}(${literal(table)}::regclass, ${literal(name)})`;
}
