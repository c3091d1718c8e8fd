import { shellName, sqlName, type TableName } from '../domain/table-name.js';
import type { StageId } from '../domain/route.js';
import type { TableStatus } from '../../workflows/messages.js';

/** Why a stage that was started waits for a person, as a sentence; undefined where nobody has paused its table or its loader. */
export function holdOf(
  { paused, loaderPauses }: Pick<TableStatus, 'paused' | 'loaderPauses'>,
  name: TableName,
  stage: StageId,
  loader: string,
): string | undefined {
  const goesOn = (command: string): string => `${stage} goes on after pg2click ${command}.`;
  if (paused !== null) return `${sqlName(name)} is paused: ${goesOn(`resume ${shellName(name)}`)}`;
  if (loaderPauses[loader] === undefined) return undefined;
  return `Loader ${loader} of ${sqlName(name)} is paused: ${goesOn(`loader resume ${shellName(name)} ${loader}`)}`;
}
