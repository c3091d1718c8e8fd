import { shellName, type TableName } from '../domain/table-name.js';

/**
 * What to do about a topic or target that is taken. `resume` would try the same name again, and `add` does not change a table that is
 * added already.
 * @param option the one of `add` that chooses another name
 */
export function takenRemedy(table: TableName, option: '--topic' | '--target'): string {
  const name = shellName(table);
  return `Run pg2click remove ${name}, then add it with a name that is free: pg2click add ${name} ${option} NAME`;
}
