import { quoteCh } from '../domain/identifier.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';

export type Target = TargetTable['target'];

/** The objects that a target may have, by role. They are bare names; `sql` holds them qualified and quoted. */
export interface TargetNames extends Readonly<Record<TargetRole, string>> {
  readonly sql: Readonly<Record<TargetRole | 'database', string>>;
  /** `database.table`, for sentences. */
  readonly shown: string;
}

export function targetNames(target: Target): TargetNames {
  const { database, table, base = table } = target;
  const floor = `${base}_floor`;
  const view = `${base}_current`;
  const fence = `${base}_fence`;
  const qualify = (name: string): string => `${quoteCh(database)}.${quoteCh(name)}`;
  return {
    table,
    floor,
    view,
    fence,
    sql: {
      database: quoteCh(database),
      table: qualify(table),
      floor: qualify(floor),
      view: qualify(view),
      fence: qualify(fence),
    },
    shown: `${database}.${table}`,
  };
}

/** The roles of the objects of a ReplacingMergeTree target, in the order in which they are made. */
export const REPLACING_ROLES = ['table', 'floor', 'view'] as const;
/** Those of a plain MergeTree. */
export const APPEND_ROLES = ['table', 'fence'] as const;
export type TargetRole = (typeof REPLACING_ROLES)[number] | (typeof APPEND_ROLES)[number];

/**
 * The comment that marks an object as ours and names its owner. The role (a `TargetRole`, or one of a loader's own objects) is part of it: otherwise the floor of `orders` would
 * pass for a target called `orders_floor`.
 */
export function ownerMark(
  { deployment, pipeline, name }: Pick<TargetTable, 'deployment' | 'pipeline' | 'name'>,
  role: string,
): string {
  const whose = deployment === undefined ? '' : `${deployment} `;
  const owner = `${MARK_PREFIX}${whose}${pipeline}/${formatTableName(name)}`;
  return role === 'table' ? owner : `${owner} ${role}`;
}

/**
 * Whether a comment is the mark of this table. One of an older release, without a deployment's id, is only where the ledger
 * knows that this deployment had the table then: otherwise it may be that of the same table in another database.
 */
export function isOwnMark(
  comment: string,
  table: Pick<TargetTable, 'deployment' | 'pipeline' | 'name' | 'oldMarks'>,
  role: string,
): boolean {
  const mark = role === 'view' ? comment.replace(SHAPE_SUFFIX, '') : comment;
  return mark === ownerMark(table, role) || (table.oldMarks === true && isOldMark(mark, table, role));
}

/** A view says in its mark which shape it shows; that of the first one has no number. */
const SHAPE_SUFFIX = / #(\d+)\.(\d+)$/u;

interface NumberedShape {
  readonly shape: number;
  /** Of the table when the shape was noted. */
  readonly generation: number;
}

export function shapeSuffix({ generation, shape }: NumberedShape): string {
  return shape === 1 ? '' : ` #${generation}.${shape}`;
}

/** @returns undefined where the comment of a view names none */
export function markedShape(comment: string): NumberedShape | undefined {
  const [, generation, shape] = SHAPE_SUFFIX.exec(comment) ?? [];
  return generation === undefined ? undefined : { generation: Number(generation), shape: Number(shape) };
}

/** Whether a comment is what an older release would have marked the table with. */
export function isOldMark(
  comment: string,
  { pipeline, name }: Pick<TargetTable, 'pipeline' | 'name'>,
  role: string,
): boolean {
  return comment === ownerMark({ pipeline, name }, role);
}

/** Every mark begins with it. */
export const MARK_PREFIX = 'pg2click ';

/** A string literal of ClickHouse. DDL takes no query parameters in comments. */
export function quoteText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
