import type { ClickHouseClient } from '@clickhouse/client';
import { comparable, holds } from '../domain/clickhouse-type.js';
import { columnType } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, type TargetTable } from '../domain/replicated-table.js';
import { laterShapes, type Shape } from '../domain/shape.js';
import { formatTableName } from '../domain/table-name.js';
import { ClickHouseAnswer } from '../failure/classify-clickhouse.js';
import { Failure } from '../failure/failure.js';
import { copyAgainRemedy } from '../failure/remedies.js';
import { execute, findObjects, listColumns, type SinkColumn } from './catalog.js';
import { columnSql } from './missing-values.js';
import { isOwnMark, targetNames } from './names.js';
import { readMarkers, shapeMarker } from './shape-marker.js';

type ShapedTarget = Pick<
  TargetTable,
  | 'deployment'
  | 'oldMarks'
  | 'pipeline'
  | 'name'
  | 'source'
  | 'target'
  | 'shapes'
  | 'key'
  | 'excluded'
  | 'where'
  | 'columns'
  | 'route'
>;

/** ClickHouse changes no column that a table is ordered or partitioned by. */
const ALTER_FORBIDDEN = 524;

/**
 * Brings a target to the newest shape of its table, shape by shape: one ALTER each, with the shape's marker in it. Called before rows of
 * that shape are inserted: ClickHouse wraps a value that is too wide for its column, without an error. Columns are added and widened,
 * which inserts of older shapes do not feel; none is renamed, dropped or given to another attribute.
 *
 * A mutation that rewrites a widened column goes on behind it.
 * @throws Failure `SinkSetBack` where the target is gone, or is somebody else's; those of ClickHouse
 */
export async function applyShapes(ch: ClickHouseClient, table: ShapedTarget): Promise<void> {
  const shapes = laterShapes(table);
  if (shapes.length === 0) return;
  let applied = await appliedNames(ch, table);
  for (const shape of shapes) {
    const marker = shapeMarker(shape);
    if (applied.has(marker)) continue;
    await requireOwn(ch, table);
    try {
      await alter(ch, table, shape);
    } catch (error) {
      // Another attempt was faster, or an answer was lost.
      applied = await appliedNames(ch, table);
      if (!applied.has(marker)) throw error;
    }
  }
}

async function appliedNames(ch: ClickHouseClient, { target }: ShapedTarget): Promise<ReadonlySet<string>> {
  return new Set((await readMarkers(ch, target)).map(shapeMarker));
}

/** The worker may be connected to another server, where the name is that of another table. */
async function requireOwn(ch: ClickHouseClient, table: ShapedTarget): Promise<void> {
  const names = targetNames(table.target);
  const roles = ['table', 'floor', 'fence'] as const;
  const objects = await findObjects(
    ch,
    table.target.database,
    roles.map((role) => names[role]),
  );
  // A table that a user made has no mark; what was made beside it has.
  if (objects.has(names.table) && roles.some((role) => isOwnMark(objects.get(names[role])?.comment ?? '', table, role)))
    return;
  throw new Failure('SinkSetBack', {
    message: `The ClickHouse table ${names.shown} does not exist, or is not that of ${formatTableName(table.name)}.`,
  });
}

async function alter(ch: ClickHouseClient, table: ShapedTarget, shape: Shape): Promise<void> {
  const { target } = table;
  const { sql, shown } = targetNames(target);
  // Of the moment: a target that was made later has columns of a later shape already, which must not be narrowed.
  const existing = new Map((await listColumns(ch, target.database, target.table)).map((each) => [each.name, each]));
  const changes = [`add constraint ${shapeMarker(shape)} assume 1`];
  for (const column of shape.columns) {
    const name = physicalName(column);
    const found = existing.get(name);
    if (found === undefined) changes.push(`add column ${quoteCh(name)} ${await columnSql(ch, column)}`);
    else if (isNarrower(found, columnType(column).clickhouse(column)))
      changes.push(`modify column ${quoteCh(name)} ${columnType(column).clickhouse(column)}`);
  }
  const statement = /* sql */ `alter table ${sql.table} ${changes.join(', ')} settings alter_sync = 0, mutations_sync = 0`;
  try {
    await execute(ch, statement, `altering ${shown} to shape ${shape.shape}`);
  } catch (error) {
    if (error instanceof Failure && error.cause instanceof ClickHouseAnswer && error.cause.code === ALTER_FORBIDDEN)
      throw new Failure('SchemaMismatch', {
        message: `The columns of ${formatTableName(table.name)} were changed: ${shape.change}. ClickHouse cannot follow: ${shown} is ordered or partitioned by that column.`,
        remedy: `${copyAgainRemedy(table, { dropTarget: true })} Choose another --order-by or --partition-by where that one is refused.`,
        cause: error,
      });
    if (!(error instanceof Failure) || error.kind !== 'Unauthorized') throw error;
    throw new Failure('Unauthorized', {
      message: `${error.message} The columns of its source were changed: ${shape.change}.`,
      remedy:
        `Run in ClickHouse: grant alter add column, alter modify column, alter add constraint on ${sql.table} to the user in ` +
        'CH_USER. Then resume the table.',
      cause: error,
    });
  }
}

function isNarrower({ type }: SinkColumn, wanted: string): boolean {
  return comparable(type) !== comparable(wanted) && holds(wanted, type);
}
