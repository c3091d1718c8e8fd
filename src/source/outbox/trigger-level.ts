import { TRIGGER_LEVELS, type ReplicatedTable, type TriggerLevel } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';

/** @throws Failure `Misconfigured` for a ledger that somebody wrote into */
export function triggerLevelOf({ route }: ReplicatedTable): TriggerLevel {
  const level = TRIGGER_LEVELS.find((each) => each === route.capture['triggerLevel']);
  if (level !== undefined) return level;
  throw new Failure('Misconfigured', {
    message: 'The ledger says of this table no level at which its triggers fire.',
    remedy: 'Remove the table and add it again.',
  });
}
