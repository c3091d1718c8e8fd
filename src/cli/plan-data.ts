import { filterSql } from '../domain/row-filter.js';
import { describeRoute } from '../domain/route-choice.js';
import { sqlName } from '../domain/table-name.js';
import type { AddedTable } from './add-planned.js';
import type { PlannedTable } from './plan-tables.js';

/** The plan as `--json` prints it. */
export function planAsData(plan: readonly PlannedTable[]): readonly object[] {
  return plan.map((planned) => {
    const { action, table } = planned;
    const checked = action === 'add' ? planned.checked : undefined;
    return {
      table: sqlName(table.name),
      action,
      partitions: table.partitions,
      key: checked?.inspection.key ?? null,
      estimatedRows: checked?.inspection.estimatedRows ?? null,
      where: (checked && filterSql(checked.inspection)) ?? null,
      notes: action === 'add' ? planned.notes : [],
      way: checked === undefined ? null : describeRoute(checked.route),
      reason: action === 'refuse' ? failureAsData(planned.reason) : null,
    };
  });
}

/** The same, with what became of each that was to be added. `result` is one of `EXIT_CODES`. */
export function resultAsData(plan: readonly PlannedTable[], results: readonly AddedTable[]): readonly object[] {
  const byTable = new Map(results.map((result) => [result.planned.table, result]));
  return planAsData(plan).map((data, index) => {
    const table = plan[index]?.table;
    const result = table === undefined ? undefined : byTable.get(table);
    if (result === undefined) return { ...data, result: null };
    const { exit, failure, view } = result;
    return { ...data, result: exit, phase: view?.phase ?? null, failure: failureAsData(failure ?? view?.failure) };
  });
}

function failureAsData(
  failure: { readonly kind: string; readonly message: string; readonly remedy?: string | undefined } | null | undefined,
): object | null {
  if (failure === null || failure === undefined) return null;
  const { kind, message, remedy } = failure;
  return { kind, message, remedy: remedy ?? null };
}
