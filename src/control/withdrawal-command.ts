import { shellName, type TableName } from '../domain/table-name.js';
import type { Change } from '../../workflows/changes.js';
import { cancellingAction } from '../../workflows/withdraw-change.js';

/** The command that takes a change back; null where nothing does. */
export function withdrawalCommand(name: TableName, change: Change): string | null {
  const table = shellName(name);
  if (change.task === 'addLoader') return `pg2click loader remove ${table} ${change.loader.name}`;
  const action = cancellingAction(change);
  return action === null ? null : `pg2click ${action.replace('cancel', '').toLowerCase()} ${table} --cancel`;
}
