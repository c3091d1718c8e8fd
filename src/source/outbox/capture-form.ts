import { isTree, TRIGGER_LEVELS, type ReplicatedTable, type TriggerLevel } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import { APPLIED_EVENTS, appliedAs, OUTBOX_EVENTS, type CaptureFunction } from './names.js';

/**
 * How a table is captured.
 *
 * The apply worker of a subscription fires row triggers alone, and only those that are enabled REPLICA or ALWAYS. Row triggers cost the
 * writers of the application more than statement triggers. So a table has both: those of statements fire in its own sessions, those of rows
 * where `session_replication_role` is `replica`, and no change fires two.
 */
export interface CaptureForm {
  readonly triggerLevel: TriggerLevel;
  /** Beside statement triggers there are row triggers for what is applied. Tables of older releases have none: their statement triggers fire in every session. */
  readonly appliedRows: boolean;
  /** A partitioned table: PostgreSQL puts a copy of each row trigger on every partition, also on those that come later. */
  readonly isTree: boolean;
}

/** @throws Failure `Misconfigured` for a ledger that somebody wrote into */
export function captureFormOf(table: Pick<ReplicatedTable, 'route'>): CaptureForm {
  const level = TRIGGER_LEVELS.find((each) => each === table.route.capture['triggerLevel']);
  if (level !== undefined)
    return { triggerLevel: level, appliedRows: table.route.capture['appliedRows'] === true, isTree: isTree(table) };
  throw new Failure('Misconfigured', {
    message: 'The ledger says of this table no level at which its triggers fire.',
    remedy: 'Remove the table and add it again.',
  });
}

/** The functions of a table, each with its trigger; of a partitioned table two run before a TRUNCATE. */
export function functionsOf({
  appliedRows,
  isTree: isOfTree,
}: Omit<CaptureForm, 'triggerLevel'>): readonly CaptureFunction[] {
  if (isOfTree) return [...OUTBOX_EVENTS, 'truncating'];
  return appliedRows ? [...OUTBOX_EVENTS, ...APPLIED_EVENTS] : OUTBOX_EVENTS;
}

/** In which sessions a trigger fires, as `pg_trigger.tgenabled` says it: all (A), those that apply (R), the others (O). */
export function firesIn({ appliedRows }: Pick<CaptureForm, 'appliedRows'>, event: CaptureFunction): 'A' | 'R' | 'O' {
  if (appliedAs(event) !== undefined) return 'R';
  // The apply worker fires the statement triggers of TRUNCATE.
  return appliedRows && event !== 'truncate' ? 'O' : 'A';
}
