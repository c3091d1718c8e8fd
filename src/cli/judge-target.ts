import { judgeLayout } from '../clickhouse/judge-layout.js';
import { connectClickHouse } from '../connect/clickhouse.js';
import type { TableName } from '../domain/table-name.js';
import { firstLoader } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import type { Settings } from '../settings/settings.js';
import type { CheckedTable } from './check-table.js';

const TIMEOUT_MS = 10_000;

/**
 * Lets ClickHouse judge the options of a target before anything is started. Where it cannot be reached from here, the worker does it.
 * @throws Failure as `judgeLayout`
 */
export async function judgeTarget(
  settings: Settings,
  name: TableName,
  { inspection, route }: Pick<CheckedTable, 'inspection' | 'route'>,
): Promise<void> {
  const { layout, engine } = firstLoader({ route });
  const { columns, key } = inspection;
  if (layout === undefined && columns.every(({ codec }) => codec === undefined)) return;
  const client = connectClickHouse(settings, { requestTimeoutMs: TIMEOUT_MS, connections: 1 });
  try {
    await judgeLayout(client, {
      name,
      columns,
      key,
      ...(layout === undefined ? {} : { layout }),
      ...(engine === undefined ? {} : { engine }),
    });
  } catch (error) {
    if (error instanceof Failure && error.kind === 'SinkUnavailable') return;
    throw error;
  } finally {
    await client.close();
  }
}
