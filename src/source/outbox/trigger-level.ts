import { isTree, TRIGGER_LEVELS, type ReplicatedTable, type TriggerLevel } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';

/** How a table is captured. */
export interface CaptureForm {
  readonly triggerLevel: TriggerLevel;
  /** A partitioned table: PostgreSQL puts a copy of each row trigger on every partition, also on those that come later. */
  readonly isTree: boolean;
}

/** @throws Failure `Misconfigured` for a ledger that somebody wrote into */
export function captureFormOf(table: Pick<ReplicatedTable, 'route'>): CaptureForm {
  const level = TRIGGER_LEVELS.find((each) => each === table.route.capture['triggerLevel']);
  if (level !== undefined) return { triggerLevel: level, isTree: isTree(table) };
  throw new Failure('Misconfigured', {
    message: 'The ledger says of this table no level at which its triggers fire.',
    remedy: 'Remove the table and add it again.',
  });
}
