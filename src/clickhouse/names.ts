import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';

export type Target = TargetTable['target'];

/** The three objects of a target. `table`, `floor` and `view` are bare names; `sql` holds them qualified and quoted. */
export interface TargetNames {
  readonly table: string;
  readonly floor: string;
  readonly view: string;
  readonly sql: { readonly database: string; readonly table: string; readonly floor: string; readonly view: string };
  /** `database.table`, for sentences. */
  readonly shown: string;
}

export function targetNames(target: Target): TargetNames {
  const { database, table } = target;
  const floor = `${table}_floor`;
  const view = `${table}_current`;
  const qualify = (name: string): string => `${quoteCh(database)}.${quoteCh(name)}`;
  return {
    table,
    floor,
    view,
    sql: { database: quoteCh(database), table: qualify(table), floor: qualify(floor), view: qualify(view) },
    shown: `${database}.${table}`,
  };
}

/** The roles an object can have in a target, in the order in which they are made. */
export const TARGET_ROLES = ['table', 'floor', 'view'] as const;
export type TargetRole = (typeof TARGET_ROLES)[number];

/**
 * The comment that marks an object as ours and tells whose it is. The role is part of it: the floor of `orders` must not
 * pass for a target called `orders_floor`.
 */
export function ownerMark(table: Pick<TargetTable, 'pipeline' | 'name'>, role: TargetRole): string {
  const owner = `pg2click ${table.pipeline}/${formatTableName(table.name)}`;
  return role === 'table' ? owner : `${owner} ${role}`;
}

/** Every mark begins so, whoever's it is. */
export const MARK_PREFIX = 'pg2click ';

/** A string literal of ClickHouse. DDL takes no query parameters in comments. */
export function quoteText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
