import { count, plural } from '../domain/figures.js';
import { filterSql } from '../domain/row-filter.js';
import { describeRoute } from '../domain/route-choice.js';
import { sqlName } from '../domain/table-name.js';
import { plannedTo, type PlannedTable } from './plan-tables.js';
import { alignColumns } from './status-picture.js';

/** Names in a row; the others are counted. */
const NAMED = 20;

/** What goes in, what is refused and why, what is in already. */
export function drawPlan(plan: readonly PlannedTable[]): string {
  const [added, skipped, refused] = [plannedTo(plan, 'add'), plannedTo(plan, 'skip'), plannedTo(plan, 'refuse')];
  const lines: string[] = [];
  if (added.length > 0) {
    const rows = added.map(({ table, checked }) => [
      `${sqlName(table.name)}${table.partitions === 0 ? '' : ` (${plural(table.partitions, 'partition')})`}`,
      checked.inspection.key.join(', '),
      checked.inspection.estimatedRows === null ? '-' : count(checked.inspection.estimatedRows),
      describeRoute(checked.route),
    ]);
    const head = ['table', 'key', 'rows (about)', 'way'];
    lines.push(`${plural(added.length, 'table')} to add:`, ...alignColumns([head, ...rows]).map(indent));
  }
  for (const { table, checked, notes } of added) {
    const { heirs } = checked.inspection;
    const where = filterSql(checked.inspection);
    if (where !== undefined) lines.push(indent(`${sqlName(table.name)}: only rows with ${where}`));
    if (heirs !== undefined) lines.push(indent(heirsNote(sqlName(table.name), heirs)));
    lines.push(...notes.map(indent));
  }
  if (refused.length > 0) lines.push('', `${plural(refused.length, 'table')} refused:`);
  for (const { reason } of refused) lines.push(indent(reason.message));
  if (skipped.length > 0) lines.push('', `${plural(skipped.length, 'table')} replicated already: ${namesOf(skipped)}`);
  return lines.join('\n').trim();
}

/** What a table whose heirs have rows of their own is said to hold. */
export function heirsNote(title: string, heirs: readonly string[]): string {
  const named = heirs.slice(0, NAMED).join(', ');
  const more = heirs.length > NAMED ? ` and ${count(heirs.length - NAMED)} more` : '';
  return `${title}: its own rows alone. Those of the tables that inherit from it are in targets of their own: add ${named}${more} too.`;
}

function namesOf(tables: readonly PlannedTable[]): string {
  const named = tables.slice(0, NAMED).map(({ table }) => sqlName(table.name));
  const more = tables.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${count(more)} more` : ''}`;
}

function indent(line: string): string {
  return `  ${line}`;
}
