import { literal, quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable, type TriggerLevel } from '../../domain/replicated-table.js';
import type { TableName } from '../../domain/table-name.js';
import {
  captureFunction,
  NEW_ROWS,
  OLD_ROWS,
  qualified,
  triggerName,
  type CaptureFunction,
  type OutboxEvent,
} from './names.js';

/** The statement takes SHARE ROW EXCLUSIVE, so it waits for the writers of this moment and holds off the next ones. */
export function triggerSql(
  table: Pick<ReplicatedTable, 'id' | 'name' | 'source'>,
  event: OutboxEvent,
  level: TriggerLevel,
): string {
  const transitions = [
    event === 'delete' || event === 'update' ? `old table as ${OLD_ROWS}` : '',
    event === 'insert' || event === 'update' ? `new table as ${NEW_ROWS}` : '',
  ].filter(Boolean);
  const how =
    event === 'truncate'
      ? 'for each statement'
      : level === 'row'
        ? 'for each row'
        : `referencing ${transitions.join(' ')} for each statement`;
  return /* sql */ `create or replace trigger ${quotePg(triggerName(table.id, event))} after ${event}
    on ${qualified(sourceName(table))} ${how} execute function ${captureFunction(table.id, event)}()`;
}

/** A trigger that runs before a TRUNCATE: of a partition (`truncate`), or of the partitioned table itself (`truncating`). */
export function beforeTruncateSql(id: string, table: TableName, runs: 'truncate' | 'truncating'): string {
  return /* sql */ `create or replace trigger ${quotePg(triggerName(id, runs))} before truncate
    on ${qualified(table)} for each statement execute function ${captureFunction(id, runs)}()`;
}

/**
 * A session with `session_replication_role = replica` changes rows too. Only the owner of the table may do this; for any
 * other role there is a function of the administrator's (`sql/roles/postgres.sql`). On a partitioned table it holds for the partitions too.
 */
export function enableAlwaysSql(
  replica: Pick<ReplicatedTable, 'id' | 'name' | 'source'>,
  event: CaptureFunction,
  owned: boolean,
): string {
  const table = qualified(sourceName(replica));
  const name = triggerName(replica.id, event);
  return owned
    ? /* sql */ `alter table ${table} enable always trigger ${quotePg(name)}`
    : /* sql */ `select pg2click_admin.enable_always(${literal(table)}::regclass, ${literal(name)})`;
}
